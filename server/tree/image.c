/* SPDX-License-Identifier: Apache-2.0 */
#include "server/tree/image.h"

#include "common/assert.h"
#include "server/tree/data_tree.h"
#include "server/tree/mutant.h"

struct znode *znode_next_preorder(struct znode *n)
{
    if (n->first_child) {
        return n->first_child;
    }
    while (n && !n->next_sibling) {
        n = n->parent;
    }
    return n ? n->next_sibling : NULL;
}

static bool is_written(const struct tree_image *im, const struct znode *n)
{
    return n->image_mark == im->tree->image_mark;
}

static void write_node(struct tree_image *im, struct znode *n)
{
    size_t len_at = im->out.len;
    put_int(&im->out, 0);
    znode_append_path(n, &im->out);
    put_int_at(&im->out, len_at, (int32_t)(im->out.len - len_at - 4));
    put_slice(&im->out, znode_data(n));
    put_long(&im->out, n->acl_id);
    persisted_stat_encode(&im->out, &n->stat);
    n->image_mark = im->tree->image_mark;
    im->node_count++;
}

void tree_image_begin(struct tree_image *im, struct data_tree *t)
{
    zk_assert(t->image == NULL);
    t->image_mark++;
    t->image = im;
    *im = (struct tree_image){
        .tree = t,
        .cursor = t->root,
        .out = BUF_EMPTY,
        .zxid = t->last_zxid,
        .digest = t->digest,
    };
    acl_table_encode(&t->acls, &im->out);
}

bool tree_image_step(struct tree_image *im, size_t max_bytes)
{
    size_t goal = im->out.len + max_bytes;
    while (im->cursor && im->out.len < goal) {
        struct znode *n = im->cursor;
        if (!is_written(im, n)) {
            write_node(im, n);
        }
        im->cursor = znode_next_preorder(n);
    }
    if (!im->cursor && !im->done) {
        put_slice(&im->out, slice_of_str("/"));
        im->done = true;
    }
    return im->done;
}

void tree_image_end(struct tree_image *im)
{
    if (im->tree && im->tree->image == im) {
        im->tree->image = NULL;
    }
    im->tree = NULL;
    buf_fini(&im->out);
}

void tree_image_before_change(struct tree_image *im, struct znode *n)
{
    if (MUTANT(L6)) {
        return;
    }
    /* The topmost missing ancestor first; usually only n itself is missing. */
    while (!is_written(im, n)) {
        struct znode *top = n;
        while (top->parent && !is_written(im, top->parent)) {
            top = top->parent;
        }
        write_node(im, top);
    }
}

void tree_image_before_delete(struct tree_image *im, struct znode *n)
{
    tree_image_before_change(im, n);
    if (im->cursor == n) {
        im->cursor = znode_next_preorder(n);
    }
}
