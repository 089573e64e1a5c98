/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUSEFS_HOSTS_H
#define FUSEFS_HOSTS_H

/* The servers of an ensemble as users write them. Pure. */

/* Takes `h1[:port],[h2-ipv6][:port][/chroot]` and gives what zookeeper_init understands, with every port; the
 * caller frees *out. 0, or -EINVAL with *error one line that the caller frees. */
int hosts_parse(const char *hosts, char **out, char **error);

#endif
