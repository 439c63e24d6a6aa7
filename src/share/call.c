#include "share/call.h"

#include <string.h>

struct cursor cursor_at(const struct iovec *parts, unsigned count)
{
	struct cursor cursor = {.part = parts};

	for (unsigned i = 0; i < count; i++)
		cursor.left += parts[i].iov_len;
	return cursor;
}

/* As much of `size` as lies in one part. */
static size_t here(struct cursor *cursor, size_t size)
{
	size_t room;

	if (size > cursor->left)
		size = cursor->left;
	if (size == 0)
		return 0;
	while (cursor->offset == cursor->part->iov_len) {
		cursor->part++;
		cursor->offset = 0;
	}
	room = cursor->part->iov_len - cursor->offset;
	return size < room ? size : room;
}

static char *at(const struct cursor *cursor)
{
	return (char *)cursor->part->iov_base + cursor->offset;
}

static void advance(struct cursor *cursor, size_t size)
{
	cursor->offset += size;
	cursor->left -= size;
}

size_t cursor_read(struct cursor *cursor, void *bytes, size_t size)
{
	size_t done = 0, n;

	while ((n = here(cursor, size - done)) > 0) {
		memcpy((char *)bytes + done, at(cursor), n);
		advance(cursor, n);
		done += n;
	}
	return done;
}

size_t cursor_write(struct cursor *cursor, const void *bytes, size_t size)
{
	size_t done = 0, n;

	while ((n = here(cursor, size - done)) > 0) {
		memcpy(at(cursor), (const char *)bytes + done, n);
		advance(cursor, n);
		done += n;
	}
	return done;
}

void cursor_skip(struct cursor *cursor, size_t size)
{
	size_t n;

	while ((n = here(cursor, size)) > 0) {
		advance(cursor, n);
		size -= n;
	}
}

unsigned cursor_parts(const struct cursor *cursor, struct iovec parts[CALL_PARTS_LIMIT], size_t size)
{
	struct cursor rest = *cursor;
	unsigned count = 0;
	size_t n;

	while (count < CALL_PARTS_LIMIT && (n = here(&rest, size)) > 0) {
		parts[count++] = (struct iovec){at(&rest), n};
		advance(&rest, n);
		size -= n;
	}
	return count;
}

int cursor_string(struct cursor *cursor, char *string, size_t limit)
{
	struct cursor ahead = *cursor;
	size_t size = cursor_read(&ahead, string, limit + 1);
	const char *end = memchr(string, '\0', size);

	if (!end) {
		string[0] = '\0';
		return size > limit ? -ENAMETOOLONG : -EINVAL;
	}
	cursor_skip(cursor, (size_t)(end - string) + 1);
	return 0;
}

int call_reply(struct call *call, const void *bytes, size_t size)
{
	if (call->out.left < size)
		return -ERANGE;
	call->replied += cursor_write(&call->out, bytes, size);
	return 0;
}

bool call_is_root(const struct call *call)
{
	return call->header.uid == 0;
}

int call_second(struct inode **ret, const struct call *call, uint64_t id)
{
	auto_inode struct inode *inode = inode_get(call->inodes, id);

	if (!inode)
		return inode_missing(call->inodes, id);
	if (inode->share && inode_check(inode) < 0)
		return -ESTALE;
	*ret = TAKE(inode);
	return 0;
}

int call_check_name(const struct inode *folder, const char *name)
{
	if (!name[0] || strchr(name, '/') || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return -EINVAL;
	return mask_hides(mask_child(atomic_load(&folder->mask), name)) ? -EACCES : 0;
}
