#pragma once
#include "base/error.h"

/* What a name in a layer asks for. Names are bytes; "." and empty components and leading slashes mean nothing. */
enum member_kind {
	MEMBER_ENTRY,    /* `name` in `folder` */
	MEMBER_ROOT,     /* the root folder itself */
	MEMBER_WHITEOUT, /* hide what lower layers have as `name` in `folder` */
	MEMBER_OPAQUE,   /* hide all that lower layers have in `folder` */
	MEMBER_IGNORED   /* bookkeeping of the tool that made the layer */
};

struct member {
	enum member_kind kind;
	char *folder; /* "a/b", "" for the root */
	char *name;   /* NULL unless the kind has one */
};

/* CORRUPT: climbs by "..", too long, or an impossible whiteout. */
MUST_USE int member_parse(struct member *ret, const char *path, struct annex_error **err);
/* "folder/name", in `buffer` of ROOTFS_PATH bytes, which it fits when it was parsed. */
const char *member_path(char *buffer, const struct member *member);
void member_clear(struct member *member);
#define auto_member CLEANUP(member_clear)
