/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_IMAGE_SENDER_H
#define SERVER_IMAGE_SENDER_H

/*
 * What goes out behind a SNAP packet: sessions, a point-in-time image of the tree, and the
 * signature (quorum-protocol 6), a slice in each turn of the loop, as fast as the learner takes it.
 * Packets that are sent meanwhile wait on the link. One image at a time, as the tree has it. Loop
 * thread.
 */
#include <stdbool.h>
#include <stdint.h>

#include "server/core/peer.h"
#include "server/net/learner_port.h"
#include "server/tree/image.h"

struct image_sender {
    struct learner_port *port; /* borrowed */
    struct tree_image image;   /* attached to the tree while is_walking */
    bool is_walking;
    int64_t link;
};

void image_sender_init(struct image_sender *s, struct learner_port *port);

/* Begins one of this moment. It must not be walking, and the tree must have no image. A link that
 * is gone is fine. */
void image_sender_begin(struct image_sender *s, struct peer *peer, int64_t link);
/* The next slice. True: there is more to do at once, so the loop must not wait. *sent: the link
 * whose image is complete with it, or 0. */
bool image_sender_turn(struct image_sender *s, int64_t *sent);
/* Gives it up and drops its link, of which nothing can be made any more. Fine when it is not
 * walking. */
void image_sender_abandon(struct image_sender *s);

#endif
