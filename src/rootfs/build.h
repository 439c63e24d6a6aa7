#pragma once
#include "rootfs/rootfs.h"

struct tree;
struct blocks;

/* Get all layers in and merged: everything but the file system itself. Makes *ret_tree and *ret_blocks. */
MUST_USE int build_layers(struct tree **ret_tree, struct blocks **ret_blocks, int disk,
			  const struct rootfs_layer *layers, size_t count, const struct rootfs_events *events,
			  struct annex_error **err);
