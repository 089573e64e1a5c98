/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUSEFS_AUTH_FILE_H
#define FUSEFS_AUTH_FILE_H

/*
 * The file of -o auth_file=: the identities of the session, a line `scheme:credentials` each. So no password
 * is ever on a command line. What is not needed any more is overwritten.
 */
struct fusefs_options;

/* Reads o->auth_file into o->auths. 0, or -errno with *error one line that the caller frees: the file must be a
 * regular one that others cannot read, nor its group change. */
int auth_file_read(struct fusefs_options *o, char **error);
/* Ends o->auths. */
void auth_file_forget(struct fusefs_options *o);

#endif
