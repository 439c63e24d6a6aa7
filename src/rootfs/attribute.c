/*
 * Attributes are kept packed behind each other: name with its NUL, size (32 bits, unaligned), value.
 *
 * Access control lists come in two forms: as the attribute system.posix_acl_* (Go's tar writers; already what the
 * kernel takes) or as text (SCHILY.acl.*, GNU tar), which libarchive decodes and which is put into the kernel's form
 * here. libext2fs puts that into ext4's own. A list that says no more than the mode is left out, as the kernel does.
 */
#include "rootfs/attribute.h"

#include "base/text.h"

#include <archive.h>
#include <archive_entry.h>
#include <endian.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
	ACL_VERSION = 2,
	ACL_USER_OBJ = 1,
	ACL_USER = 2,
	ACL_GROUP_OBJ = 4,
	ACL_GROUP = 8,
	ACL_MASK = 16,
	ACL_OTHER = 32,
	ACL_HEADER = 4,
	ACL_ENTRY = 8
};

static const char access_list[] = "system.posix_acl_access", default_list[] = "system.posix_acl_default";

struct acl_entry {
	uint16_t tag, permissions;
	uint32_t id;
};

static bool is_kept(const char *name)
{
	static const char *const spaces[] = {"user.", "trusted.", "security."};

	for (size_t i = 0; i < COUNT_OF(spaces); i++) {
		if (text_starts(name, spaces[i]))
			return name[strlen(spaces[i])] != '\0' && strlen(name) - strlen(spaces[i]) <= 255;
	}
	return strcmp(name, access_list) == 0 || strcmp(name, default_list) == 0;
}

bool attribute_next(struct attribute *ret, uint32_t *at, const char *packed, size_t size)
{
	if (*at >= size)
		return false;
	ret->name = packed + *at;
	*at += (uint32_t)strlen(ret->name) + 1;
	memcpy(&ret->size, packed + *at, sizeof(ret->size));
	*at += (uint32_t)sizeof(ret->size);
	ret->value = packed + *at;
	*at += ret->size;
	return true;
}

static bool is_packed(const struct text *packed, const char *name)
{
	struct attribute attribute;
	uint32_t at = 0;

	while (attribute_next(&attribute, &at, packed->data, packed->size)) {
		if (strcmp(attribute.name, name) == 0)
			return true;
	}
	return false;
}

static int pack(struct text *packed, const char *name, const void *value, size_t size, struct annex_error **err)
{
	uint32_t size32 = (uint32_t)size;

	if (size > ATTRIBUTE_BYTES || packed->size + strlen(name) + size > ATTRIBUTE_BYTES)
		return fail(err, ANNEX_ERROR_UNSUPPORTED, "extended attributes of more than %d bytes", ATTRIBUTE_BYTES);
	text_add_bytes(packed, name, strlen(name) + 1);
	text_add_bytes(packed, &size32, sizeof(size32));
	text_add_bytes(packed, value, size);
	return 0;
}

static int compare_entries(const void *a, const void *b)
{
	const struct acl_entry *x = a, *y = b;

	if (x->tag != y->tag)
		return x->tag < y->tag ? -1 : 1;
	return x->id < y->id ? -1 : x->id > y->id;
}

static uint16_t tag_of(int tag)
{
	static const struct {
		int archive;
		uint16_t tag;
	} tags[] = {
		{ARCHIVE_ENTRY_ACL_USER_OBJ, ACL_USER_OBJ},   {ARCHIVE_ENTRY_ACL_USER, ACL_USER},
		{ARCHIVE_ENTRY_ACL_GROUP_OBJ, ACL_GROUP_OBJ}, {ARCHIVE_ENTRY_ACL_GROUP, ACL_GROUP},
		{ARCHIVE_ENTRY_ACL_MASK, ACL_MASK},           {ARCHIVE_ENTRY_ACL_OTHER, ACL_OTHER},
	};

	for (size_t i = 0; i < COUNT_OF(tags); i++) {
		if (tags[i].archive == tag)
			return tags[i].tag;
	}
	return 0;
}

/* The list in text form, if there is one that says more than the mode. Full: there may be more. */
static size_t read_list(struct acl_entry entries[ATTRIBUTE_ACL_ENTRIES], struct archive_entry *entry, int type)
{
	int got, permissions, tag, id;
	const char *name;
	size_t count = 0;

	if (!(archive_entry_acl_types(entry) & type) || archive_entry_acl_reset(entry, type) == 0)
		return 0;
	while ((got = archive_entry_acl_next(entry, type, &type, &permissions, &tag, &id, &name)) == ARCHIVE_OK ||
	       got == ARCHIVE_WARN) {
		struct acl_entry *made = &entries[count];

		*made = (struct acl_entry){
			.tag = tag_of(tag), .permissions = (uint16_t)(permissions & 7), .id = UINT32_MAX};
		if (made->tag == ACL_USER || made->tag == ACL_GROUP) {
			if (id < 0) /* a name that only the maker's host could resolve */
				continue;
			made->id = (uint32_t)id;
		}
		if (made->tag && ++count == ATTRIBUTE_ACL_ENTRIES)
			break;
	}
	qsort(entries, count, sizeof(*entries), compare_entries);
	return count;
}

static int take_list(struct text *packed, uint32_t *mode, struct archive_entry *entry, int type, const char *name,
		     struct annex_error **err)
{
	auto_free struct acl_entry *entries = calloc(ATTRIBUTE_ACL_ENTRIES, sizeof(*entries));
	unsigned char bytes[ACL_HEADER + ACL_ENTRY * ATTRIBUTE_ACL_ENTRIES] = {ACL_VERSION};
	size_t count;

	if (!entries)
		return fail_memory(err);
	count = read_list(entries, entry, type);
	if (count == 0 || is_packed(packed, name))
		return 0;
	if (count == ATTRIBUTE_ACL_ENTRIES)
		return fail(err, ANNEX_ERROR_UNSUPPORTED, "an access list of %d entries or more",
			    ATTRIBUTE_ACL_ENTRIES);
	for (size_t i = 0; i < count; i++) {
		unsigned char *at = bytes + ACL_HEADER + i * ACL_ENTRY;
		uint16_t tag = htole16(entries[i].tag), permissions = htole16(entries[i].permissions);
		uint32_t id = htole32(entries[i].id);

		memcpy(at, &tag, 2);
		memcpy(at + 2, &permissions, 2);
		memcpy(at + 4, &id, 4);
		if (type == ARCHIVE_ENTRY_ACL_TYPE_ACCESS && entries[i].tag == ACL_MASK)
			*mode = (*mode & ~070u) | (uint32_t)entries[i].permissions << 3;
	}
	if (type == ARCHIVE_ENTRY_ACL_TYPE_ACCESS && count <= 3)
		return 0;
	return pack(packed, name, bytes, ACL_HEADER + ACL_ENTRY * count, err);
}

/* A list in the kernel's form must at least have its shape; a short one says no more than the mode. */
static bool is_list(const char *name, const void *value, size_t size)
{
	uint32_t version;

	if (size < ACL_HEADER || (size - ACL_HEADER) % ACL_ENTRY != 0)
		return false;
	memcpy(&version, value, sizeof(version));
	return le32toh(version) == ACL_VERSION &&
	       size > (strcmp(name, access_list) == 0 ? ACL_HEADER + 3 * ACL_ENTRY : ACL_HEADER);
}

static int take_plain(struct text *packed, struct archive_entry *entry, struct annex_error **err)
{
	const char *name;
	const void *value;
	size_t size, count = 0;

	archive_entry_xattr_reset(entry);
	while (archive_entry_xattr_next(entry, &name, &value, &size) == ARCHIVE_OK) {
		if (!name || !is_kept(name) || is_packed(packed, name))
			continue;
		if (text_starts(name, "system.") && !is_list(name, value, size))
			continue;
		if (++count > ATTRIBUTE_COUNT)
			return fail(err, ANNEX_ERROR_UNSUPPORTED, "more than %d extended attributes", ATTRIBUTE_COUNT);
		if (pack(packed, name, value, size, err) < 0)
			return -1;
	}
	return 0;
}

int attribute_pack(struct text *packed, uint32_t *mode, struct archive_entry *entry, struct annex_error **err)
{
	if (archive_entry_xattr_count(entry) > 0 && take_plain(packed, entry, err) < 0)
		return -1;
	if (!S_ISLNK(*mode) && archive_entry_acl_types(entry) &&
	    (take_list(packed, mode, entry, ARCHIVE_ENTRY_ACL_TYPE_ACCESS, access_list, err) < 0 ||
	     take_list(packed, mode, entry, ARCHIVE_ENTRY_ACL_TYPE_DEFAULT, default_list, err) < 0))
		return -1;
	return text_ok(packed) ? 0 : fail_memory(err);
}

bool attribute_are_valid(const char *packed, size_t size)
{
	uint32_t value_size;
	size_t at = 0, length;
	int count = 0;

	if (size > ATTRIBUTE_PACKED)
		return false;
	for (; at < size; at += value_size) {
		length = strnlen(packed + at, size - at);
		if (++count > ATTRIBUTE_COUNT + 2 || size - at < length + 1 + sizeof(value_size))
			return false;
		if (!is_kept(packed + at))
			return false;
		at += length + 1;
		memcpy(&value_size, packed + at, sizeof(value_size));
		at += sizeof(value_size);
		if (value_size > size - at)
			return false;
	}
	return true;
}
