/* What plugins here have in common: each is told a file to write to, and looks at every instruction
 * that is translated. */
#ifndef HARNESS_PLUGIN_OUT_H
#define HARNESS_PLUGIN_OUT_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "qemu_plugin.h"

EXPORT int qemu_plugin_version = 1;
EXPORT int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv);

static FILE *out;

static void plugin_ended(plugin_id id, void *data)
{
    (void)id, (void)data;
    fclose(out);
}

/* What stands behind NAME= in the plugin's arguments, or NULL. */
static inline const char *plugin_argument(int argc, char **argv, const char *name)
{
    size_t length = strlen(name);

    for (int i = 0; i < argc; i++)
        if (strncmp(argv[i], name, length) == 0 && argv[i][length] == '=')
            return argv[i] + length + 1;
    return NULL;
}

/* The end of each qemu_plugin_install(): opens what out= names. */
static inline int plugin_begin(plugin_id id, int argc, char **argv,
                               void (*translated)(plugin_id id, struct tb *tb))
{
    const char *path = plugin_argument(argc, argv, "out");

    if (path == NULL || (out = fopen(path, "w")) == NULL) {
        fprintf(stderr, "plugin: out=FILE, a file that can be written, is needed\n");
        return -1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, plugin_ended, NULL);
    return 0;
}

#endif
