"""The harness of Pagoda: builds QEMU command lines, boots, reads serial output, judges, measures.

`python3 -m harness --help` lists the commands. Only the standard library is used, except by
`boot.Console` (pexpect), which drives interactive sessions.
"""
