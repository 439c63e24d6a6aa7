#include "fuse-guest.h"

#include "share/owner.h"

#include <sys/sysmacros.h>
#include <sys/xattr.h>

static int record_of(const struct guest *guest, const char *name, char record[OWNER_RECORD_LIMIT])
{
	char path[128];
	ssize_t size;

	snprintf(path, sizeof(path), "%s/%s", guest->place, name);
	size = getxattr(path, OWNER_ATTRIBUTE, record, OWNER_RECORD_LIMIT - 1);
	record[size < 0 ? 0 : size] = '\0';
	return size < 0 ? -errno : 0;
}

static int change_owner(struct guest *guest, uint64_t node, uint32_t uid, uint32_t gid)
{
	struct fuse_setattr_in in = {.valid = FATTR_UID | FATTR_GID, .uid = uid, .gid = gid};

	return guest_setattr(guest, node, in);
}

static int change_mode(struct guest *guest, uint64_t node, uint32_t mode)
{
	return guest_setattr(guest, node, (struct fuse_setattr_in){.valid = FATTR_MODE, .mode = mode});
}

static void expect_owner(struct guest *guest, uint64_t node, uint32_t uid, uint32_t gid, uint32_t mode)
{
	struct fuse_attr attributes = guest_attributes(guest, node);

	assert_int_equal(attributes.uid, uid);
	assert_int_equal(attributes.gid, gid);
	assert_int_equal(attributes.mode, mode);
}

static void the_host_user_is_the_machine_user(void **state)
{
	struct guest *guest = *state;
	char record[OWNER_RECORD_LIMIT];
	uint64_t node = 0, fh = 0;

	host_write(guest, "theirs", "");
	expect_owner(guest, guest_walk(guest, "theirs"), GUEST_USER, GUEST_USER, S_IFREG | 0644);
	assert_int_equal(guest_create(guest, guest->top, "ours", O_RDWR, 0640, &node, &fh), 0);
	expect_owner(guest, node, GUEST_USER, GUEST_USER, S_IFREG | 0640);
	assert_int_equal(host_stat(guest, "ours").st_uid, geteuid());
	assert_int_equal(record_of(guest, "ours", record), -ENODATA);
}

static void other_owners_are_kept_and_nobody_on_the_host_gains(void **state)
{
	struct guest *guest = *state;
	char record[OWNER_RECORD_LIMIT];
	uint64_t node = 0, fh = 0;

	guest->uid = guest->gid = 0;
	assert_int_equal(guest_create(guest, guest->top, "f", O_RDWR, 0660, &node, &fh), 0);
	expect_owner(guest, node, 0, 0, S_IFREG | 0640); /* a umask of 022 */
	assert_int_equal(record_of(guest, "f", record), 0);
	assert_string_equal(record, "0:0:100640:0");
	assert_int_equal(host_stat(guest, "f").st_uid, geteuid());
	/* The guest's group 0 is not the group of the file on the host. */
	assert_int_equal(host_stat(guest, "f").st_mode, S_IFREG | 0600);
	assert_int_equal(change_owner(guest, node, 999, 5), 0);
	expect_owner(guest, node, 999, 5, S_IFREG | 0640);
	assert_int_equal(change_mode(guest, node, 0444), 0);
	expect_owner(guest, node, 999, 5, S_IFREG | 0444);
	assert_int_equal(host_stat(guest, "f").st_mode, S_IFREG | 0644);
	assert_int_equal(change_owner(guest, node, GUEST_USER, GUEST_USER), 0);
	expect_owner(guest, node, GUEST_USER, GUEST_USER, S_IFREG | 0444);
	assert_int_equal(host_stat(guest, "f").st_mode, S_IFREG | 0444);
	assert_int_equal(record_of(guest, "f", record), -ENODATA);
}

static void set_id_bits_never_reach_the_host(void **state)
{
	struct guest *guest = *state;
	struct fuse_write_in kill = {.size = 1, .write_flags = FUSE_WRITE_KILL_SUIDGID};
	uint64_t node = 0, fh = 0;

	assert_int_equal(guest_create(guest, guest->top, "s", O_RDWR, 04755, &node, &fh), 0);
	expect_owner(guest, node, guest->uid, guest->gid, S_IFREG | 04755);
	assert_int_equal(host_stat(guest, "s").st_mode, S_IFREG | 0755);
	assert_int_equal(change_mode(guest, node, 06755), 0);
	expect_owner(guest, node, guest->uid, guest->gid, S_IFREG | 06755);
	assert_int_equal(host_stat(guest, "s").st_mode, S_IFREG | 0755);
	/* Writing takes them off if the guest says so; so does a new owner. */
	assert_int_equal(guest_write(guest, node, fh, 0, "x", 1), 1);
	expect_owner(guest, node, guest->uid, guest->gid, S_IFREG | 06755);
	kill.fh = fh;
	assert_int_equal(guest_ask(guest, FUSE_WRITE, node, STRUCT(kill), (struct bytes){"x", 1}, NOTHING), 0);
	expect_owner(guest, node, guest->uid, guest->gid, S_IFREG | 0755);
	assert_int_equal(change_mode(guest, node, 04711), 0);
	assert_int_equal(change_owner(guest, node, 7, 7), 0);
	expect_owner(guest, node, 7, 7, S_IFREG | 0711);
}

static void what_the_guest_writes_loses_the_hosts_set_id_bits(void **state)
{
	struct guest *guest = *state;
	uint64_t node, fh = 0;

	host_write(guest, "program", "x");
	assert_int_equal(fchmodat(guest->host, "program", 06755, 0), 0);
	node = guest_walk(guest, "program");
	assert_int_equal(guest_open(guest, node, O_RDONLY, &fh), 0);
	assert_int_equal(host_stat(guest, "program").st_mode & 07777, 06755);
	assert_int_equal(guest_open(guest, node, O_RDWR, &fh), 0);
	assert_int_equal(guest_write(guest, node, fh, 0, "y", 1), 1);
	assert_int_equal(host_stat(guest, "program").st_mode & 07777, 0755);
}

static void the_hosts_change_of_a_mode_counts(void **state)
{
	struct guest *guest = *state;
	uint64_t node = 0, fh = 0;

	guest->uid = guest->gid = 0;
	assert_int_equal(guest_create(guest, guest->top, "f", O_RDWR, 0644, &node, &fh), 0);
	assert_int_equal(fchmodat(guest->host, "f", 0755, 0), 0);
	expect_owner(guest, node, 0, 0, S_IFREG | 0755);
}

static void devices_and_pipes_are_what_the_guest_made(void **state)
{
	struct guest *guest = *state;
	struct fuse_mknod_in in = {.mode = S_IFCHR | 0666, .rdev = 0x103};
	struct fuse_attr attributes;

	guest->uid = guest->gid = 0;
	assert_int_equal(guest_ask(guest, FUSE_MKNOD, guest->top, STRUCT(in), NAME("null"), NOTHING), 0);
	attributes = guest_attributes(guest, guest_walk(guest, "null"));
	assert_int_equal(attributes.mode, S_IFCHR | 0666);
	assert_int_equal(attributes.rdev, 0x103);
	assert_true(S_ISREG(host_stat(guest, "null").st_mode));
	in.mode = S_IFIFO | 0600;
	assert_int_equal(guest_ask(guest, FUSE_MKNOD, guest->top, STRUCT(in), NAME("pipe"), NOTHING), 0);
	attributes = guest_attributes(guest, guest_walk(guest, "pipe"));
	assert_int_equal(attributes.mode, S_IFIFO | 0600);
	assert_int_equal(attributes.uid, 0);
	in.mode = S_IFDIR | 0600;
	assert_int_equal(guest_ask(guest, FUSE_MKNOD, guest->top, STRUCT(in), NAME("dir"), NOTHING), -EINVAL);
}

static void folders_pass_their_group_on(void **state)
{
	struct guest *guest = *state;
	uint64_t folder = 0, node = 0, fh = 0;

	guest->uid = guest->gid = 0;
	assert_int_equal(guest_mkdir(guest, guest->top, "d", 0755, &folder), 0);
	assert_int_equal(change_owner(guest, folder, 0, 44), 0);
	assert_int_equal(change_mode(guest, folder, 02775), 0);
	expect_owner(guest, folder, 0, 44, S_IFDIR | 02775);
	assert_int_equal(guest_create(guest, folder, "f", O_RDWR, 0644, &node, &fh), 0);
	expect_owner(guest, node, 0, 44, S_IFREG | 0644);
	assert_int_equal(guest_mkdir(guest, folder, "e", 0755, &node), 0);
	expect_owner(guest, node, 0, 44, S_IFDIR | 02755);
}

static void links_take_any_owner_and_files_of_others_none(void **state)
{
	struct guest *guest = *state;
	uint64_t node;

	guest->uid = guest->gid = 0;
	assert_int_equal(guest_ask(guest, FUSE_SYMLINK, guest->top, NOTHING, NAME("l"), NAME("t")), 0);
	assert_int_equal(change_owner(guest, guest_walk(guest, "l"), 5, 5), 0);
	if (getuid() != 0 || geteuid() == 0)
		return;
	host_write(guest, "root's", "");
	assert_int_equal(seteuid(0), 0);
	assert_int_equal(fchownat(guest->host, "root's", 0, 0, 0), 0);
	assert_int_equal(fchmodat(guest->host, "root's", 0666, 0), 0);
	assert_int_equal(seteuid(GUEST_NOBODY), 0);
	prctl(PR_SET_DUMPABLE, 1);
	node = guest_walk(guest, "root's");
	expect_owner(guest, node, 0, 0, S_IFREG | 0666);
	assert_int_equal(change_owner(guest, node, GUEST_USER, GUEST_USER), -EPERM);
	assert_int_equal(change_mode(guest, node, 0600), -EPERM);
}

static void a_record_counts_on_files_of_the_servers_user_only(void **state)
{
	struct guest *guest = *state;
	char path[128];

	if (getuid() != 0 || geteuid() == 0)
		return;
	host_write(guest, "evil", "");
	snprintf(path, sizeof(path), "%s/evil", guest->place);
	assert_int_equal(setxattr(path, OWNER_ATTRIBUTE, "0:0:104755:0", 12, 0), 0);
	expect_owner(guest, guest_walk(guest, "evil"), 0, 0, S_IFREG | 04644);
	assert_int_equal(seteuid(0), 0);
	assert_int_equal(fchownat(guest->host, "evil", 1234, 1234, 0), 0);
	assert_int_equal(seteuid(GUEST_NOBODY), 0);
	prctl(PR_SET_DUMPABLE, 1);
	expect_owner(guest, guest_walk(guest, "evil"), 1234, 1234, S_IFREG | 0644);
}

static void as_root_the_ids_are_real(void **state)
{
	struct guest *guest = *state;
	uint64_t node = 0, fh = 0;

	if (geteuid() != 0)
		skip();
	guest->uid = 1234;
	guest->gid = 1235;
	assert_int_equal(guest_create(guest, guest->top, "f", O_RDWR, 0640, &node, &fh), 0);
	assert_int_equal(host_stat(guest, "f").st_uid, 1234);
	assert_int_equal(host_stat(guest, "f").st_gid, 1235);
	assert_int_equal(change_owner(guest, node, 5, 6), 0);
	assert_int_equal(host_stat(guest, "f").st_uid, 5);
	expect_owner(guest, node, 5, 6, S_IFREG | 0640);
}

/* {version 2}, then entries of {tag, permissions, id}. */
struct acl_entry {
	uint16_t tag, permissions;
	uint32_t id;
};
struct acl {
	uint32_t version;
	struct acl_entry entries[5];
};

#define ACL_OF(user_7, group, mask)                                                                                    \
	{                                                                                                              \
		2,                                                                                                     \
		{                                                                                                      \
			{0x01, 6, UINT32_MAX}, {0x02, user_7, 7}, {0x04, group, UINT32_MAX}, {0x10, mask, UINT32_MAX}, \
			{                                                                                              \
				0x20, 0, UINT32_MAX                                                                    \
			}                                                                                              \
		}                                                                                                      \
	}

static int set_acl(struct guest *guest, uint64_t node, const char *name, const struct acl *acl, uint32_t flags)
{
	struct fuse_setxattr_in in = {.size = sizeof(*acl), .setxattr_flags = flags};

	return guest_ask(guest, FUSE_SETXATTR, node, STRUCT(in), NAME(name), (struct bytes){acl, sizeof(*acl)});
}

static void lists_of_access_are_the_hosts(void **state)
{
	static const struct acl acl = ACL_OF(7, 4, 6), wide = ACL_OF(7, 7, 7);
	struct guest *guest = *state;
	struct fuse_getxattr_in in = {.size = 256};
	uint64_t node = 0, folder = 0, fh = 0;

	if (geteuid() != 0)
		return;
	assert_int_equal(guest_create(guest, guest->top, "f", O_RDWR, 02640, &node, &fh), 0);
	assert_int_equal(set_acl(guest, node, "system.posix_acl_access", &acl, 0), 0);
	expect_owner(guest, node, 0, 0, S_IFREG | 02660);
	assert_int_equal(guest_ask(guest, FUSE_GETXATTR, node, STRUCT(in), NAME("system.posix_acl_access"), NOTHING),
			 0);
	assert_int_equal(guest->size, sizeof(acl));
	assert_memory_equal(ANSWER(guest, char), &acl, sizeof(acl));
	assert_int_equal(set_acl(guest, node, "system.posix_acl_access", &acl, FUSE_SETXATTR_ACL_KILL_SGID), 0);
	expect_owner(guest, node, 0, 0, S_IFREG | 0660);
	/* Where a folder has one for what is made in it, it counts instead of the umask. */
	assert_int_equal(guest_mkdir(guest, guest->top, "d", 0755, &folder), 0);
	assert_int_equal(set_acl(guest, folder, "system.posix_acl_default", &wide, 0), 0);
	assert_int_equal(guest_create(guest, folder, "g", O_RDWR, 0666, &node, &fh), 0);
	expect_owner(guest, node, 0, 0, S_IFREG | 0660);
}

static void records_are_read_strictly(void **state)
{
	static const char *const wrong[] = {"",         "0",       "0:0:0",         "0:0:0:0:0",         "a:0:0:0",
					    "-1:0:0:0", "0:0:9:0", "0:0:1000000:0", "99999999999:0:0:0", "0:0::0",
					    " 0:0:0:0"};
	struct owner owner = {1, 2, S_IFREG | 04755, 259}, read;
	char text[OWNER_RECORD_LIMIT];

	(void)state;
	owner_format(text, &owner);
	assert_true(owner_parse(&read, text));
	assert_memory_equal(&owner, &read, sizeof(owner));
	for (size_t i = 0; i < COUNT_OF(wrong); i++)
		assert_false(owner_parse(&read, wrong[i]));
}

static void an_id_that_looks_like_the_user_is_nobody(void **state)
{
	struct guest *guest = *state;

	if (getuid() != 0 || geteuid() == 0)
		return;
	host_write(guest, "f", "");
	assert_int_equal(seteuid(0), 0);
	assert_int_equal(fchownat(guest->host, "f", GUEST_USER, GUEST_USER, 0), 0);
	assert_int_equal(seteuid(GUEST_NOBODY), 0);
	prctl(PR_SET_DUMPABLE, 1);
	expect_owner(guest, guest_walk(guest, "f"), OWNER_UNKNOWN, OWNER_UNKNOWN, S_IFREG | 0644);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		AS_USER(the_host_user_is_the_machine_user),
		AS_USER(other_owners_are_kept_and_nobody_on_the_host_gains),
		AS_BOTH(set_id_bits_never_reach_the_host),
		AS_BOTH(what_the_guest_writes_loses_the_hosts_set_id_bits),
		AS_USER(the_hosts_change_of_a_mode_counts),
		AS_BOTH(devices_and_pipes_are_what_the_guest_made),
		AS_BOTH(folders_pass_their_group_on),
		AS_BOTH(links_take_any_owner_and_files_of_others_none),
		AS_USER(a_record_counts_on_files_of_the_servers_user_only),
		AS_USER(an_id_that_looks_like_the_user_is_nobody),
		cmocka_unit_test_setup_teardown(as_root_the_ids_are_real, guest_set_up_root, guest_tear_down),
		cmocka_unit_test_setup_teardown(lists_of_access_are_the_hosts, guest_set_up_root, guest_tear_down),
		cmocka_unit_test(records_are_read_strictly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
