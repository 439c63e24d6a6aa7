#pragma once
#include "guest/share.h"
#include "loop/loop.h"

#include <sys/types.h>

/* Keeps what is shared in its places while an init stops. */
struct holder;

/* -ENOMEM. */
MUST_USE int holder_new(struct holder **ret, struct loop *loop);
void holder_free(struct holder *holder);

/* Watch the mounts of init `pid` (its pidfd and the list stay the caller's, who may change the list): once it stops, as
 * told or as it shows, what it unmounts of the list is mounted again. */
void holder_watch(struct holder *holder, const struct share_list *list, pid_t pid, int init_pidfd);
void holder_init_stops(struct holder *holder); /* it was told to */
void holder_rest(struct holder *holder);       /* init is gone */
bool holder_has_child(const struct holder *holder, pid_t pid);
