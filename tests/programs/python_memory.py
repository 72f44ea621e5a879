#!/usr/bin/python3
# 256 MiB in one piece and in many, threads, child processes, files.
import os
import sys
import time

MIB = 1 << 20
big = bytearray(256 * MIB)
for at in range(0, len(big), 4096):
    big[at] = at >> 12 & 0xFF
print("256 MiB", len(big), sum(big[:: 4096 * 7]))
pid = os.fork()
if pid == 0:
    for at in range(0, len(big), 64 * 4096):
        big[at] = 1
    print("child changed", sum(big[:: 64 * 4096]), flush=True)
    os._exit(7)
print("child ended", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
print("parent's are", sum(big[:: 64 * 4096]))
del big

pieces = [bytes([i & 0xFF]) * (64 * 1024) for i in range(4096)]
print("4096 pieces", sum(len(piece) for piece in pieces), sum(piece[5] for piece in pieces))
del pieces

table = {f"key{i}": i for i in range(200000)}
print("dict", len(table), sum(table.values()))
squares = [i * i for i in range(300000)]
print("list", len(squares), squares[-1])

reader, writer = os.pipe()
if os.fork() == 0:
    os.close(reader)
    with os.fdopen(writer, "w") as stream:
        for i in range(20000):
            stream.write(f"{i}\n")
        stream.flush()
    os._exit(0)
os.close(writer)
with os.fdopen(reader) as stream:
    print("through a pipe", sum(int(line) for line in stream))
os.wait()

os.chdir("/tmp")
with open("py.bin", "wb") as stream:
    for i in range(256):
        stream.write(bytes([i]) * 4096)
with open("py.bin", "rb") as stream:
    stream.seek(100 * 4096 + 5)
    print("file", os.path.getsize("py.bin"), stream.read(3))
os.rename("py.bin", "py2.bin")
print(sorted(name for name in os.listdir(".") if name.startswith("py")))
os.unlink("py2.bin")

import _thread

done = []
lock = _thread.allocate_lock()


def work(number):
    total = 0
    for i in range(20000):
        total += i ^ number
    with lock:
        done.append(total)


for number in range(8):
    _thread.start_new_thread(work, (number,))
limit = time.monotonic() + 120
while len(done) < 8 and time.monotonic() < limit:
    time.sleep(0.01)
print("threads", len(done), sum(done))
print(sys.version_info >= (3, 13), os.sysconf("SC_PAGE_SIZE"))
