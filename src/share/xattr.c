#include "share/xattr.h"

#include "share/entry.h"

#include "base/text.h"

#include <string.h>
#include <sys/xattr.h>

/*
 * The guest has the user's attributes and ACLs; what gives privileges on the host (security.*, trusted.*), or is the
 * server's own, it neither sees nor sets. ACLs name ids of the host, so they need ids that are the same on both sides.
 */
#define ACL_ACCESS  "system.posix_acl_access"
#define ACL_DEFAULT "system.posix_acl_default"

static bool is_acl(const char *name)
{
	return text_equal(name, ACL_ACCESS) || text_equal(name, ACL_DEFAULT);
}

static bool is_passed(const struct call *call, const char *name)
{
	if (owner_hides(name))
		return false;
	return text_starts(name, "user.") || (is_acl(name) && owners_same(call->owners));
}

/* What there might be, had it been set. Others there can't be: who hears that (ls does, of labels) asks for one only.
 */
static bool is_never_there(const char *name)
{
	return owner_hides(name) || text_equal(name, "security.capability");
}

static int pin_for(struct call *call, struct pin *pin, char path[DESCRIPTOR_PATH])
{
	int result;

	if (!call->inode->share)
		return -EOPNOTSUPP;
	result = pin_take(pin, call->inode);
	if (result == 0)
		descriptor_path(path, pin->fd);
	return result;
}

/* With the first ACL the mode changes too; set-group-id goes if the kernel says so. */
static int kill_sgid(struct call *call, int fd)
{
	struct spot spot = {.fd = fd};
	struct owner owner;
	struct statx stx;
	bool recorded;
	int result = spot_stat(&spot, &stx);

	if (result < 0)
		return result;
	recorded = owner_show(call->owners, &owner, &spot, &stx);
	if (!(owner.mode & S_ISGID))
		return 0;
	owner.mode &= ~(uint32_t)S_ISGID;
	result = owner_set(call->owners, fd, &stx, &owner, recorded);
	return result < 0 ? result : 0;
}

int xattr_set(struct call *call)
{
	struct fuse_setxattr_in in = {0};
	auto_free char *value = NULL;
	auto_pin struct pin pin = {0};
	char path[DESCRIPTOR_PATH];
	int result;

	memcpy(&in, call->arguments.bytes, call->session.long_setxattr ? sizeof(in) : FUSE_COMPAT_SETXATTR_IN_SIZE);
	if (in.size > call->in.left)
		return -EINVAL;
	if (in.size > XATTR_VALUE_LIMIT)
		return -E2BIG;
	if (!is_passed(call, call->name))
		return -EOPNOTSUPP;
	result = pin_for(call, &pin, path);
	if (result < 0)
		return result;
	value = malloc(in.size + 1);
	if (!value)
		return -ENOMEM;
	cursor_read(&call->in, value, in.size);
	if (setxattr(path, call->name, value, in.size, (int)in.flags) < 0)
		return -errno;
	return in.setxattr_flags & FUSE_SETXATTR_ACL_KILL_SGID ? kill_sgid(call, pin.fd) : 0;
}

int xattr_remove(struct call *call)
{
	auto_pin struct pin pin = {0};
	char path[DESCRIPTOR_PATH];
	int result;

	if (!is_passed(call, call->name))
		return owner_hides(call->name) ? -ENODATA : -EOPNOTSUPP;
	result = pin_for(call, &pin, path);
	if (result < 0)
		return result;
	return removexattr(path, call->name) < 0 ? -errno : 0;
}

/* The size alone, or the bytes if the guest has room for them. */
static int reply_bytes(struct call *call, const char *bytes, size_t size, uint32_t room)
{
	struct fuse_getxattr_out out = {.size = (uint32_t)size};

	if (room == 0)
		return call_reply(call, &out, sizeof(out));
	return size > room ? -ERANGE : call_reply(call, bytes, size);
}

int xattr_get(struct call *call)
{
	const struct fuse_getxattr_in *in = CALL_ARGUMENTS(call, struct fuse_getxattr_in);
	auto_free char *value = NULL;
	auto_pin struct pin pin = {0};
	char path[DESCRIPTOR_PATH];
	ssize_t size;
	int result;

	if (!is_passed(call, call->name))
		return is_never_there(call->name) ? -ENODATA : -EOPNOTSUPP;
	result = pin_for(call, &pin, path);
	if (result < 0)
		return result == -EOPNOTSUPP ? -ENODATA : result;
	value = malloc(XATTR_VALUE_LIMIT);
	if (!value)
		return -ENOMEM;
	size = getxattr(path, call->name, value, XATTR_VALUE_LIMIT);
	return size < 0 ? -errno : reply_bytes(call, value, (size_t)size, in->size);
}

static size_t keep_passed(const struct call *call, char *names, size_t size)
{
	size_t kept = 0;

	for (size_t at = 0, next; at < size; at = next) {
		next = at + strlen(names + at) + 1;
		if (!is_passed(call, names + at))
			continue;
		memmove(names + kept, names + at, next - at);
		kept += next - at;
	}
	return kept;
}

int xattr_list(struct call *call)
{
	const struct fuse_getxattr_in *in = CALL_ARGUMENTS(call, struct fuse_getxattr_in);
	auto_free char *names = NULL;
	auto_pin struct pin pin = {0};
	char path[DESCRIPTOR_PATH];
	ssize_t size;
	int result = pin_for(call, &pin, path);

	if (result < 0)
		return result == -EOPNOTSUPP ? reply_bytes(call, "", 0, in->size) : result;
	names = malloc(XATTR_VALUE_LIMIT + 1);
	if (!names)
		return -ENOMEM;
	size = listxattr(path, names, XATTR_VALUE_LIMIT);
	if (size < 0)
		return -errno;
	names[size] = '\0';
	return reply_bytes(call, names, keep_passed(call, names, (size_t)size), in->size);
}
