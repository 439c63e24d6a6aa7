#include "fuse-guest.h"

#include <linux/fs.h>
#include <sys/xattr.h>

static uint64_t made_folder(struct guest *guest, uint64_t folder, const char *name)
{
	uint64_t node = 0;

	assert_int_equal(guest_mkdir(guest, folder, name, 0755, &node), 0);
	return node;
}

static void folders_are_made_and_removed_as_on_the_host(void **state)
{
	struct guest *guest = *state;
	uint64_t node = made_folder(guest, guest->top, "d");

	assert_int_equal(host_stat(guest, "d").st_mode, S_IFDIR | 0755);
	assert_int_equal(guest_mkdir(guest, guest->top, "d", 0755, NULL), -EEXIST);
	made_folder(guest, node, "e");
	assert_int_equal(guest_remove(guest, guest->top, "d", true), -ENOTEMPTY);
	assert_int_equal(guest_remove(guest, guest->top, "d", false), -EISDIR);
	assert_int_equal(guest_remove(guest, node, "e", true), 0);
	assert_int_equal(guest_remove(guest, guest->top, "d", true), 0);
	assert_int_equal(guest_remove(guest, guest->top, "d", true), -ENOENT);
	assert_int_equal(guest_attributes(guest, node).nlink, 0);
	assert_int_equal(guest_mkdir(guest, node, "late", 0755, NULL), -ENOENT);
}

static void names_are_bytes_up_to_255(void **state)
{
	struct guest *guest = *state;
	char name[258];
	uint64_t node = 0, fh = 0;

	memset(name, 'n', sizeof(name));
	name[255] = '\0';
	assert_int_equal(guest_create(guest, guest->top, name, O_RDWR, 0644, &node, &fh), 0);
	assert_true(host_has(guest, name));
	name[255] = 'n';
	name[256] = '\0';
	assert_int_equal(guest_lookup(guest, guest->top, name, NULL), -ENAMETOOLONG);
	assert_int_equal(guest_create(guest, guest->top, name, O_RDWR, 0644, NULL, &fh), -ENAMETOOLONG);
	assert_int_equal(guest_create(guest, guest->top, "\xff\xfe \n\x01", O_RDWR, 0644, &node, &fh), 0);
	assert_true(host_has(guest, "\xff\xfe \n\x01"));
	assert_int_equal(guest_lookup(guest, guest->top, "\xff\xfe \n\x01", NULL), 0);
}

static void names_that_lead_elsewhere_are_none(void **state)
{
	static const char *const names[] = {"", ".", "..", "a/b", "/etc", "../x"};
	struct guest *guest = *state;
	uint64_t fh = 0;

	host_write(guest, "f", "");
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		assert_int_equal(guest_lookup(guest, guest->top, names[i], NULL), -EINVAL);
		assert_int_equal(guest_mkdir(guest, guest->top, names[i], 0755, NULL), -EINVAL);
		assert_int_equal(guest_create(guest, guest->top, names[i], O_RDWR, 0644, NULL, &fh), -EINVAL);
		assert_int_equal(guest_remove(guest, guest->top, names[i], false), -EINVAL);
		assert_int_equal(guest_rename(guest, guest->top, names[i], guest->top, "x", 0), -EINVAL);
		assert_int_equal(guest_rename(guest, guest->top, "f", guest->top, names[i], 0), -EINVAL);
		assert_int_equal(guest_link(guest, guest_walk(guest, "f"), guest->top, names[i]), -EINVAL);
	}
	assert_true(host_has(guest, "f"));
}

static void links_are_told_not_followed(void **state)
{
	struct guest *guest = *state;
	char target[4096];
	uint64_t node = 0, fh = 0;

	memset(target, 't', sizeof(target));
	target[4095] = '\0';
	assert_int_equal(guest_ask(guest, FUSE_SYMLINK, guest->top, NOTHING, NAME("l"), NAME("/etc/passwd")), 0);
	node = guest_walk(guest, "l");
	assert_int_equal(guest_attributes(guest, node).mode, S_IFLNK | 0777);
	assert_int_equal(guest_ask(guest, FUSE_READLINK, node, NOTHING, NOTHING, NOTHING), 0);
	assert_int_equal(guest->size, 11);
	assert_memory_equal(ANSWER(guest, char), "/etc/passwd", 11);
	assert_int_equal(guest_open(guest, node, O_RDONLY, &fh), -ENXIO);
	assert_int_equal(guest_create(guest, guest->top, "l", O_RDONLY, 0644, NULL, &fh), -ENXIO);
	assert_int_equal(guest_lookup(guest, node, "x", NULL), -ENOTDIR);
	assert_int_equal(guest_link(guest, node, guest->top, "l2"), 0);
	assert_true(S_ISLNK(host_stat(guest, "l2").st_mode));
	assert_int_equal(host_stat(guest, "l2").st_nlink, 2);
	assert_int_equal(guest_ask(guest, FUSE_SYMLINK, guest->top, NOTHING, NAME("long"), NAME(target)), 0);
	assert_int_equal(guest_ask(guest, FUSE_READLINK, guest->top, NOTHING, NOTHING, NOTHING), -EINVAL);
	/* A folder on the host that is a link by now leads nowhere. */
	node = made_folder(guest, guest->top, "d");
	assert_int_equal(unlinkat(guest->host, "d", AT_REMOVEDIR), 0);
	assert_int_equal(symlinkat("/etc", guest->host, "d"), 0);
	assert_int_equal(guest_lookup(guest, node, "passwd", NULL), -ESTALE);
}

static void renaming_takes_the_inode_along(void **state)
{
	struct guest *guest = *state;
	uint64_t folder = made_folder(guest, guest->top, "d"), other = made_folder(guest, guest->top, "o"), node = 0;

	host_write(guest, "d/f", "moved");
	node = guest_walk(guest, "d/f");
	assert_int_equal(guest_rename(guest, folder, "f", other, "g", 0), 0);
	host_expect(guest, "o/g", "moved");
	assert_int_equal(guest_attributes(guest, node).size, 5);
	assert_int_equal(guest_lookup(guest, folder, "f", NULL), -ENOENT);
	assert_int_equal(guest_rename(guest, guest->top, "o", folder, "in", 0), 0);
	assert_int_equal(guest_attributes(guest, node).size, 5);
	assert_int_equal(guest_rename(guest, guest->top, "d", other, "x", 0), -EINVAL);
	assert_int_equal(guest_rename(guest, guest->top, "none", folder, "x", 0), -ENOENT);
}

static void flags_of_renaming_do_what_they_say(void **state)
{
	struct guest *guest = *state;
	uint64_t a = 0, b = 0, fh = 0;

	host_write(guest, "a", "A");
	host_write(guest, "b", "BB");
	a = guest_walk(guest, "a");
	b = guest_walk(guest, "b");
	assert_int_equal(guest_rename(guest, guest->top, "a", guest->top, "b", RENAME_NOREPLACE), -EEXIST);
	assert_int_equal(guest_rename(guest, guest->top, "a", guest->top, "b", RENAME_EXCHANGE), 0);
	host_expect(guest, "a", "BB");
	assert_int_equal(guest_attributes(guest, a).size, 1);
	assert_int_equal(guest_attributes(guest, b).size, 2);
	assert_int_equal(guest_rename(guest, guest->top, "a", guest->top, "c", RENAME_EXCHANGE), -ENOENT);
	assert_int_equal(guest_rename(guest, guest->top, "a", guest->top, "c", RENAME_WHITEOUT), -EINVAL);
	assert_int_equal(guest_open(guest, a, O_RDONLY, &fh), 0);
	assert_int_equal(guest_rename(guest, guest->top, "a", guest->top, "b", 0), 0);
	assert_int_equal(guest_attributes(guest, a).nlink, 0);
	assert_int_equal(guest_read(guest, a, fh, 0, 10), 1);
}

static void hard_links_are_one_inode(void **state)
{
	struct guest *guest = *state;
	uint64_t node = 0, again = 0;

	host_write(guest, "f", "x");
	node = guest_walk(guest, "f");
	assert_int_equal(guest_link(guest, node, guest->top, "g"), 0);
	assert_int_equal(ANSWER(guest, struct fuse_entry_out)->nodeid, node);
	assert_int_equal(guest_lookup(guest, guest->top, "g", &again), 0);
	assert_true(again == node);
	assert_int_equal(guest_link(guest, node, guest->top, "g"), -EEXIST);
	assert_int_equal(guest_remove(guest, guest->top, "g", false), 0);
	assert_int_equal(guest_attributes(guest, node).nlink, 1);
	assert_int_equal(guest_remove(guest, guest->top, "f", false), 0);
	assert_int_equal(guest_attributes(guest, node).nlink, 0);
}

static void forgetting_is_counted(void **state)
{
	struct guest *guest = *state;
	struct fuse_getattr_in in = {0};
	struct fuse_batch_forget_in batch = {.count = 2};
	struct fuse_forget_one ones[2];
	uint64_t node = 0, again = 0;

	host_write(guest, "f", "x");
	host_write(guest, "g", "x");
	node = guest_walk(guest, "f");
	guest_walk(guest, "f");
	guest_forget(guest, node, 1);
	assert_int_equal(guest_ask(guest, FUSE_GETATTR, node, STRUCT(in), NOTHING, NOTHING), 0);
	ones[0] = (struct fuse_forget_one){node, 1};
	ones[1] = (struct fuse_forget_one){guest_walk(guest, "g"), UINT64_MAX};
	guest_ask(guest, FUSE_BATCH_FORGET, 0, STRUCT(batch), STRUCT(ones), NOTHING);
	assert_int_equal(guest->result, 0);
	assert_int_equal(guest_ask(guest, FUSE_GETATTR, node, STRUCT(in), NOTHING, NOTHING), -ESTALE);
	assert_int_equal(guest_ask(guest, FUSE_GETATTR, ones[1].nodeid, STRUCT(in), NOTHING, NOTHING), -ESTALE);
	again = guest_walk(guest, "f");
	assert_true(again != node);
}

static int set_xattr(struct guest *guest, uint64_t node, const char *name, const char *value, uint32_t flags)
{
	struct fuse_setxattr_in in = {.size = (uint32_t)strlen(value), .flags = flags};

	return guest_ask(guest, FUSE_SETXATTR, node, STRUCT(in), NAME(name), (struct bytes){value, strlen(value)});
}

static int get_xattr(struct guest *guest, uint32_t code, uint64_t node, const char *name, uint32_t size)
{
	struct fuse_getxattr_in in = {.size = size};

	return guest_ask(guest, code, node, STRUCT(in), name ? NAME(name) : NOTHING, NOTHING);
}

static void attributes_of_users_pass_and_no_others(void **state)
{
	static const char *const denied[] = {"user.annex.owner", "user.annex.x", "trusted.annex.owner", "trusted.x",
					     "security.capability",
					     /* can't be at all */
					     "security.selinux", "system.x", "x"};
	struct guest *guest = *state;
	uint64_t node = 0;
	char path[128], value[16];

	host_write(guest, "f", "x");
	node = guest_walk(guest, "f");
	assert_int_equal(set_xattr(guest, node, "user.a", "value", 0), 0);
	assert_int_equal(set_xattr(guest, node, "user.a", "value", XATTR_CREATE), -EEXIST);
	assert_int_equal(set_xattr(guest, node, "user.b", "value", XATTR_REPLACE), -ENODATA);
	assert_int_equal(get_xattr(guest, FUSE_GETXATTR, node, "user.a", 0), 0);
	assert_int_equal(ANSWER(guest, struct fuse_getxattr_out)->size, 5);
	assert_int_equal(get_xattr(guest, FUSE_GETXATTR, node, "user.a", 4), -ERANGE);
	assert_int_equal(get_xattr(guest, FUSE_GETXATTR, node, "user.a", 64), 0);
	assert_memory_equal(ANSWER(guest, char), "value", 5);
	assert_int_equal(get_xattr(guest, FUSE_GETXATTR, node, "user.none", 64), -ENODATA);
	assert_int_equal(get_xattr(guest, FUSE_GETXATTR, node, "security.capability", 64), -ENODATA);
	assert_int_equal(get_xattr(guest, FUSE_GETXATTR, node, "none", 64), -EOPNOTSUPP);
	for (size_t i = 0; i < COUNT_OF(denied); i++) {
		assert_int_equal(set_xattr(guest, node, denied[i], "0:0:104755:0", 0), -EOPNOTSUPP);
		assert_int_equal(get_xattr(guest, FUSE_GETXATTR, node, denied[i], 64), i < 5 ? -ENODATA : -EOPNOTSUPP);
		assert_true(guest_ask(guest, FUSE_REMOVEXATTR, node, NOTHING, NAME(denied[i]), NOTHING) < 0);
	}
	snprintf(path, sizeof(path), "%s/f", guest->place);
	assert_int_equal(setxattr(path, "user.annex.owner", "0:0:100644:0", 12, 0), 0);
	assert_int_equal(get_xattr(guest, FUSE_LISTXATTR, node, NULL, 256), 0);
	assert_int_equal(guest->size, sizeof("user.a"));
	assert_string_equal(ANSWER(guest, char), "user.a");
	assert_int_equal(guest_ask(guest, FUSE_REMOVEXATTR, node, NOTHING, NAME("user.annex.owner"), NOTHING),
			 -ENODATA);
	assert_true(getxattr(path, "user.annex.owner", value, sizeof(value)) == 12);
	assert_int_equal(guest_ask(guest, FUSE_REMOVEXATTR, node, NOTHING, NAME("user.a"), NOTHING), 0);
	assert_int_equal(guest_ask(guest, FUSE_REMOVEXATTR, node, NOTHING, NAME("user.a"), NOTHING), -ENODATA);
}

static void root_in_the_guest_works_in_folders_that_are_closed(void **state)
{
	struct guest *guest = *state;
	uint64_t folder = made_folder(guest, guest->top, "closed"), fh = 0;

	host_write(guest, "closed/f", "x");
	assert_int_equal(fchmodat(guest->host, "closed", 0500, 0), 0);
	if (geteuid() != 0)
		assert_int_equal(guest_remove(guest, folder, "f", false), -EACCES);
	guest->uid = guest->gid = 0;
	assert_int_equal(guest_create(guest, folder, "g", O_RDWR, 0644, NULL, &fh), 0);
	assert_int_equal(guest_mkdir(guest, folder, "d", 0755, NULL), 0);
	assert_int_equal(guest_rename(guest, folder, "f", guest->top, "f", 0), 0);
	assert_int_equal(guest_rename(guest, guest->top, "f", folder, "h", 0), 0);
	assert_int_equal(guest_remove(guest, folder, "h", false), 0);
	assert_int_equal(fchmodat(guest->host, "closed", 0, 0), 0);
	assert_int_equal(guest_lookup(guest, folder, "g", NULL), 0);
	assert_int_equal(guest_open_folder(guest, folder, &fh), 0);
	assert_int_equal(host_stat(guest, "closed").st_mode, S_IFDIR);
	assert_int_equal(fchmodat(guest->host, "closed", 0700, 0), 0);
}

static void attributes_of_a_link_are_not_those_of_its_target(void **state)
{
	struct guest *guest = *state;
	char path[128], value[16];
	uint64_t node = 0;

	host_write(guest, "target", "x");
	assert_int_equal(symlinkat("target", guest->host, "l"), 0);
	node = guest_walk(guest, "l");
	assert_int_equal(set_xattr(guest, node, "user.a", "value", 0), -EPERM);
	snprintf(path, sizeof(path), "%s/target", guest->place);
	assert_true(getxattr(path, "user.a", value, sizeof(value)) < 0);
	guest_setattr(guest, node, (struct fuse_setattr_in){.valid = FATTR_MODE, .mode = 0777});
	assert_int_equal(host_stat(guest, "target").st_mode, S_IFREG | 0644);
	assert_true(guest_setattr(guest, node, (struct fuse_setattr_in){.valid = FATTR_SIZE}) < 0);
	assert_int_equal(host_stat(guest, "target").st_size, 1);
}

static void few_descriptors_suffice_for_many_inodes(void **state)
{
	struct guest *guest = *state;
	uint64_t folders[300], node = guest->top;
	char name[16];

	/* Each one is opened, and the limit of each shard is far below their number. */
	for (int i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "d%d", i);
		folders[i] = made_folder(guest, i % 10 ? node : guest->top, name);
		node = folders[i];
		assert_int_equal(guest_mkdir(guest, node, "x", 0700, NULL), 0);
	}
	for (int i = 0; i < 300; i++) {
		assert_int_equal(guest_attributes(guest, folders[i]).nlink, 3 + (i % 10 != 9));
		assert_int_equal(guest_remove(guest, folders[i], "x", true), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		AS_BOTH(folders_are_made_and_removed_as_on_the_host),
		AS_BOTH(names_are_bytes_up_to_255),
		AS_BOTH(names_that_lead_elsewhere_are_none),
		AS_BOTH(links_are_told_not_followed),
		AS_BOTH(renaming_takes_the_inode_along),
		AS_BOTH(flags_of_renaming_do_what_they_say),
		AS_BOTH(hard_links_are_one_inode),
		AS_BOTH(forgetting_is_counted),
		AS_BOTH(attributes_of_users_pass_and_no_others),
		AS_BOTH(root_in_the_guest_works_in_folders_that_are_closed),
		AS_BOTH(attributes_of_a_link_are_not_those_of_its_target),
		AS_BOTH(few_descriptors_suffice_for_many_inodes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
