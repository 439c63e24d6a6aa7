#ifndef ANNEX_NETWORK_H
#define ANNEX_NETWORK_H

#include <stddef.h>
#include <stdint.h>

#include <annex/context.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Networks of machines. The machines of one reach each other, by NAME.annex.internal; those of different ones do not.
 * All machines whose setting `network` names none are in the network "default", which is always there.
 */
struct annex_network;

struct annex_network_options {
	size_t size;
	const char *uplink; /* how its machines get out: "auto", "passt" or "slirp"; "none": not at all. NULL: auto */
};
#define ANNEX_NETWORK_OPTIONS_INIT                         \
	{                                                  \
		sizeof(struct annex_network_options), NULL \
	}

/* EXISTS; USAGE for a name that none can have, or an uplink that there isn't. options may be NULL. */
int annex_network_create(struct annex_context *context, const char *name, const struct annex_network_options *options,
			 struct annex_error **err);
/* All, "default" first, then by name. Free with annex_network_list_free(). */
int annex_network_list(struct annex_network ***ret, size_t *ret_count, struct annex_context *context,
		       struct annex_error **err);
void annex_network_list_free(struct annex_network **list, size_t count);
/* NOT_FOUND. */
int annex_network_open(struct annex_network **ret, struct annex_context *context, const char *name,
		       struct annex_error **err);
void annex_network_unref(struct annex_network *network);
/* BUSY when a machine's setting names it, or one that runs is in it still; USAGE for "default"; NOT_FOUND. */
int annex_network_delete(struct annex_context *context, const char *name, struct annex_error **err);

/* Of the moment when it was opened or listed; owned by the network. */
const char *annex_network_name(const struct annex_network *network);
const char *annex_network_uplink(const struct annex_network *network); /* NULL: as each machine is set */
int64_t annex_network_created(const struct annex_network *network);    /* seconds since 1970; 0: always there */
/* The names of the machines whose setting it is, sorted; NULL past the end. */
const char *annex_network_machine(const struct annex_network *network, size_t index);
/* A JSON object, with the addresses of its machines; the caller frees *ret. */
int annex_network_describe(char **ret, const struct annex_network *network, struct annex_error **err);

/*
 * Names of machines on the host itself: lines of /etc/hosts, "127.88.3.7 dev.annex.internal dev". A name that stands
 * there for something else already is given only with the domain.
 */
/* What they are now; the caller frees *ret. */
int annex_hosts_text(char **ret, struct annex_context *context, struct annex_error **err);
/* The same as a JSON array; the caller frees *ret. */
int annex_hosts_describe(char **ret, struct annex_context *context, struct annex_error **err);
/*
 * Keep a block of them in /etc/hosts, marked with the user's name. `lines` are those of annex_hosts_text(), of another
 * process perhaps; NULL: those of now. `user` NULL: who this is. All other lines stay as they are, byte for byte.
 * SYSTEM with EACCES: it takes root; USAGE: other lines than these.
 */
int annex_hosts_install(struct annex_context *context, const char *user, const char *lines, struct annex_error **err);
/* Take the block out; if there is none, nothing is done. */
int annex_hosts_remove(const char *user, struct annex_error **err);
/* To be called when machines have come or gone: where the user has a block, it is brought up to date. *ret_stale:
 * non-zero when it isn't, for want of the right to write the file. */
int annex_hosts_follow(int *ret_stale, struct annex_context *context, struct annex_error **err);

#ifdef __cplusplus
}
#endif

#endif
