/*
 * NUMA policies as programs set them. Pages are taken from the nearest node that has one, whatever
 * the policy; what is set is checked against the nodes that there are, kept, and told.
 */
#ifndef MMSERVER_CORE_POLICY_H
#define MMSERVER_CORE_POLICY_H

#include "mmserver/core/client.h"

/* Linux's calls; `nodes` and the like are addresses in the client. 0, a value, or -LINUX_x. */
long policy_set(struct worker *w, struct client *c, uint64_t mode, vaddr_t nodes, uint64_t bits);
long policy_get(struct worker *w, struct client *c, vaddr_t mode, vaddr_t nodes, uint64_t bits,
                vaddr_t address, uint64_t flags);
/* a: the six arguments of mbind. */
long policy_bind(struct worker *w, struct client *c, const uint64_t a[6]);
long policy_home_node(struct client *c, vaddr_t address, uint64_t bytes, uint64_t node,
                      uint64_t flags);
/* Whether migrate_pages can mean its masks. */
long policy_migrate(struct worker *w, struct client *c, uint64_t bits, vaddr_t from, vaddr_t to);
/* The node of the page at `address`; -LINUX_ENOENT: there is none; -LINUX_EFAULT: nothing is
 * mapped, or the zero page. */
long policy_page_node(struct mm *mm, vaddr_t address);

#endif
