#include "share/owner.h"

#include "share/thread.h"

#include "base/text.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

/*
 * One user of the host is one user of the guest. What else the guest says of a file (another owner, set-user-id, a
 * device) an unprivileged server cannot pass on, and would not: it is written into an extended attribute of the file.
 * The host's own mode then gives its user access, and nobody else more than the guest meant to give to everybody; the
 * set-id bits of files never reach the host. Of a server that runs as root the ids are real, set-id bits and devices
 * are kept in the attribute.
 *
 * A record counts only where nobody else could have written it: on files of the server's own user. If the mode on the
 * host is not the one that follows from the record, then the host has changed it, and it is the host's that counts.
 * A device, and whatever can have no user attributes, is an empty file whose record tells the type.
 */
#define PERMISSIONS 0777u
#define SPECIAL     (S_ISUID | S_ISGID | S_ISVTX)

struct owners owners_here(uid_t guest_uid, gid_t guest_gid)
{
	return (struct owners){.real = geteuid() == 0,
			       .self = geteuid(),
			       .host_uid = geteuid(),
			       .host_gid = getegid(),
			       .guest_uid = guest_uid,
			       .guest_gid = guest_gid};
}

bool owners_same(const struct owners *owners)
{
	return owners->real || (owners->host_uid == owners->guest_uid && owners->host_gid == owners->guest_gid);
}

static uint32_t to_guest(uint32_t id, uint32_t host, uint32_t guest)
{
	if (id == host)
		return guest;
	return id == guest ? OWNER_UNKNOWN : id;
}

static uint32_t shown_uid(const struct owners *owners, uint32_t uid)
{
	return owners->real ? uid : to_guest(uid, owners->host_uid, owners->guest_uid);
}

static uint32_t shown_gid(const struct owners *owners, uint32_t gid)
{
	return owners->real ? gid : to_guest(gid, owners->host_gid, owners->guest_gid);
}

bool owner_hides(const char *attribute)
{
	return text_starts(attribute, "user.annex.") || text_starts(attribute, "trusted.");
}

static const char *attribute_of(const struct owners *owners)
{
	return owners->real ? OWNER_ATTRIBUTE_ROOT : OWNER_ATTRIBUTE;
}

int owner_format(char text[OWNER_RECORD_LIMIT], const struct owner *owner)
{
	return snprintf(text, OWNER_RECORD_LIMIT, "%u:%u:%o:%u", owner->uid, owner->gid, owner->mode, owner->device);
}

bool owner_parse(struct owner *ret, const char *text)
{
	static const int bases[] = {10, 10, 8, 10};
	uint32_t fields[COUNT_OF(bases)];

	for (size_t i = 0; i < COUNT_OF(bases); i++) {
		char field[16];
		size_t size = strcspn(text, ":");
		bool last = i + 1 == COUNT_OF(bases);

		if (size >= sizeof(field) || (text[size] == '\0') != last)
			return false;
		memcpy(field, text, size);
		field[size] = '\0';
		if (text_to_u32(&fields[i], field, bases[i]) < 0)
			return false;
		text += size + 1;
	}
	*ret = (struct owner){fields[0], fields[1], fields[2], fields[3]};
	return (ret->mode & ~(uint32_t)(S_IFMT | SPECIAL | PERMISSIONS)) == 0;
}

/* What the host's mode may say itself. Sticky and set-group-id folders mean the same there, and give nobody more. */
static uint32_t native_bits(uint32_t mode)
{
	return S_ISDIR(mode) ? PERMISSIONS | S_ISGID | S_ISVTX : PERMISSIONS;
}

mode_t owner_host_mode(uint32_t mode)
{
	return mode & PERMISSIONS;
}

/* The host's mode beside a record: its user can always work with the file; the host's group has what the guest's
 * group has if it is the same group, else what everybody has. */
static uint32_t mode_beside(const struct owners *owners, const struct owner *record)
{
	uint32_t mode = record->mode & native_bits(record->mode), group = mode & S_IRWXG, other = mode & S_IRWXO;

	if (owners->real)
		return mode;
	if (record->gid != owners->guest_gid)
		group &= other << 3;
	return (mode & ~(uint32_t)(S_IRWXU | S_IRWXG)) | (mode & S_IRWXU) | group |
	       (S_ISDIR(record->mode) ? S_IRWXU : S_IRUSR | S_IWUSR);
}

static bool type_fits(uint32_t recorded, uint32_t host)
{
	if (recorded == (host & S_IFMT))
		return true;
	return S_ISREG(host) &&
	       (recorded == S_IFCHR || recorded == S_IFBLK || recorded == S_IFIFO || recorded == S_IFSOCK);
}

/* By its name from within the folder, which is three times as fast as by a path through /proc. */
static ssize_t read_attribute(const struct spot *spot, const char *attribute, char *value, size_t size)
{
	char path[DESCRIPTOR_PATH + sizeof(spot->name) + 1];
	ssize_t got;

	if (spot->opened)
		return fgetxattr(spot->fd, attribute, value, size);
	if (spot->entered)
		return lgetxattr(spot->name, attribute, value, size);
	if (spot->name[0] && thread_enter(spot->fd)) {
		got = lgetxattr(spot->name, attribute, value, size);
		thread_leave();
		return got;
	}
	descriptor_path(path, spot->fd);
	if (!spot->name[0])
		return getxattr(path, attribute, value, size);
	strcat(strcat(path, "/"), spot->name);
	return lgetxattr(path, attribute, value, size);
}

static bool read_record(const struct owners *owners, struct owner *ret, const struct spot *spot,
			const struct statx *stx)
{
	char text[OWNER_RECORD_LIMIT];
	ssize_t size;

	if (!owners->real && (stx->stx_uid != owners->self || (!S_ISREG(stx->stx_mode) && !S_ISDIR(stx->stx_mode))))
		return false;
	size = read_attribute(spot, attribute_of(owners), text, sizeof(text) - 1);
	if (size < 0)
		return false;
	text[size] = '\0';
	return owner_parse(ret, text) && type_fits(ret->mode & S_IFMT, stx->stx_mode);
}

struct owner owner_native(const struct owners *owners, const struct statx *stx)
{
	return (struct owner){
		.uid = shown_uid(owners, stx->stx_uid),
		.gid = shown_gid(owners, stx->stx_gid),
		.mode = stx->stx_mode,
		.device = (stx->stx_rdev_minor & 0xff) | (stx->stx_rdev_major & 0xfff) << 8 |
			  (stx->stx_rdev_minor & ~0xffu) << 12,
	};
}

static void apply(const struct owners *owners, struct owner *shown, const struct owner *record, const struct statx *stx)
{
	uint32_t bits = native_bits(stx->stx_mode);

	if (!owners->real) {
		shown->uid = record->uid;
		shown->gid = record->gid;
	}
	if ((stx->stx_mode & bits) == (mode_beside(owners, record) & bits))
		shown->mode = record->mode;
	else
		shown->mode = (record->mode & (S_IFMT | SPECIAL)) | (stx->stx_mode & PERMISSIONS);
	shown->device = record->device;
}

/* A name may stand for another file by now, which must not lend it its record: looks again at one that stays. */
static bool record_at_name(const struct owners *owners, struct owner *ret, const struct spot *spot,
			   const struct statx *stx)
{
	auto_close int fd = openat(spot->fd, spot->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct spot itself = {.fd = fd};
	struct statx now;

	if (fd < 0 || statx(fd, "", AT_EMPTY_PATH, STATX_INO, &now) < 0 || now.stx_ino != stx->stx_ino ||
	    now.stx_dev_major != stx->stx_dev_major || now.stx_dev_minor != stx->stx_dev_minor)
		return false;
	return read_record(owners, ret, &itself, stx);
}

bool owner_show(const struct owners *owners, struct owner *ret, const struct spot *spot, const struct statx *stx)
{
	struct owner record;

	*ret = owner_native(owners, stx);
	if (!read_record(owners, &record, spot, stx))
		return false;
	if (!spot->name[0] || record_at_name(owners, &record, spot, stx))
		apply(owners, ret, &record, stx);
	return true;
}

static bool needs_record(const struct owners *owners, const struct owner *now, const struct owner *want)
{
	/* What is no file on the host gives nobody anything by them. */
	uint32_t kept = S_ISREG(now->mode) ? native_bits(want->mode) : SPECIAL;

	if ((want->mode & S_IFMT) != (now->mode & S_IFMT) || want->mode & SPECIAL & ~kept)
		return true;
	return !owners->real && (want->uid != now->uid || want->gid != now->gid);
}

/* Attributes can be written to files only that can be written, so the mode that allows it comes first. It is set also
 * where it is so already: the time of the last change is now. */
static int keep_record(const struct owners *owners, const char *path, const struct owner *want)
{
	char text[OWNER_RECORD_LIMIT];
	uint32_t mode = mode_beside(owners, want);
	int size = owner_format(text, want);

	if (chmod(path, mode) < 0)
		return -errno;
	if (setxattr(path, attribute_of(owners), text, (size_t)size, 0) < 0)
		return errno == EOPNOTSUPP || errno == EACCES ? -EPERM : -errno;
	return 1;
}

static int drop_record(const struct owners *owners, const char *path, const struct statx *stx, const struct owner *want,
		       bool recorded)
{
	uint32_t mode = want->mode & (native_bits(stx->stx_mode) | SPECIAL);

	if (recorded && removexattr(path, attribute_of(owners)) < 0 && errno != ENODATA && errno != EOPNOTSUPP &&
	    errno != EPERM && errno != EACCES)
		return -errno;
	return chmod(path, mode) < 0 ? -errno : 0;
}

int owner_set(const struct owners *owners, int fd, const struct statx *stx, const struct owner *want, bool recorded)
{
	struct owner now = owner_native(owners, stx), wanted = *want;
	char path[DESCRIPTOR_PATH];

	descriptor_path(path, fd);
	if (owners->real && (want->uid != stx->stx_uid || want->gid != stx->stx_gid) &&
	    fchownat(fd, "", want->uid, want->gid, AT_EMPTY_PATH) < 0)
		return -errno;
	if (S_ISLNK(stx->stx_mode))
		return 0; /* a link has no mode, and the owner of one gives and forbids nothing */
	if (!owners->real && stx->stx_uid != owners->self)
		return -EPERM;
	if (!needs_record(owners, &now, want))
		return drop_record(owners, path, stx, want, recorded);
	if (!owners->real && !S_ISREG(stx->stx_mode) && !S_ISDIR(stx->stx_mode))
		return -EPERM;
	wanted.mode &= S_IFMT | SPECIAL | PERMISSIONS;
	return keep_record(owners, path, &wanted);
}
