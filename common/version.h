/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COMMON_VERSION_H
#define COMMON_VERSION_H

/* The release, set by hand. Its day stands here too, because a build must not depend on the clock. */
#define ZKFS_VERSION      "0.1.0"
#define ZKFS_VERSION_DATE "2026-11-24"

#endif
