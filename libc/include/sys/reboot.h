/* Ending the machine. */
#ifndef PG_SYS_REBOOT_H
#define PG_SYS_REBOOT_H

#define LINUX_REBOOT_MAGIC1        0xfee1dead
#define LINUX_REBOOT_MAGIC2        672274793
#define LINUX_REBOOT_CMD_POWER_OFF 0x4321fedc
#define LINUX_REBOOT_CMD_RESTART2  0xa1b2c3d4

/* Powers off; `arg` only matters for LINUX_REBOOT_CMD_RESTART2. Returns only on failure. */
int reboot(unsigned int cmd, const char *arg);

#endif
