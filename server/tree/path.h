/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_TREE_PATH_H
#define SERVER_TREE_PATH_H

/* Znode paths as the protocol spells them: "/", "/a", "/a/b". Pure. */
#include <stdbool.h>

#include "server/jute/wire.h"

/* Client-protocol 9: absolute, no empty, "." or ".." component, no trailing slash, no character that
 * ZooKeeper refuses (controls, surrogates, U+E000-U+F8FF, U+FFF0-U+FFFF, all beyond the BMP), valid UTF-8. */
bool path_is_valid(struct slice path);

/* Everything before the last slash; "" for a top-level node. False if there is no slash at all. The
 * literal parent string is not validated: a missing parent is NO_NODE, whatever it looks like. */
bool path_split(struct slice path, struct slice *parent, struct slice *name);

/* "" and "/" both name the root: the first form is what path_split and the snapshot use. */
struct slice path_normal(struct slice path);

/* Parent as a client sees it: "/" instead of "". */
struct slice path_for_client(struct slice path);

/* Is path below dir ("/a/b" below "/a")? dir has no trailing slash. */
bool path_is_below(struct slice path, const char *dir);

#endif
