/* Access control lists, in the form that the kernel takes them in. */
#include "posix.h"

#include <sys/xattr.h>

#define ACCESS  "system.posix_acl_access"
#define DEFAULT "system.posix_acl_default"

enum tag { USER_OBJ = 1, USER = 2, GROUP_OBJ = 4, GROUP_NAMED = 8, MASK = 16, OTHERS = 32 };

struct entry {
	uint16_t tag, perm;
	uint32_t id;
};

struct list {
	uint32_t version;
	struct entry entries[8];
};

#define NOBODY         UINT32_MAX
#define SIZE_OF(count) (4 + (count) * sizeof(struct entry))

static struct list named(uint32_t uid, uint16_t perm, uint16_t mask)
{
	return (struct list){2,
			     {{USER_OBJ, 6, NOBODY},
			      {USER, perm, uid},
			      {GROUP_OBJ, 4, NOBODY},
			      {MASK, mask, NOBODY},
			      {OTHERS, 0, NOBODY}}};
}

static void set_access(const char *name, uint32_t uid, uint16_t perm, uint16_t mask)
{
	struct list list = named(uid, perm, mask);

	if (setxattr(name, ACCESS, &list, SIZE_OF(5), 0) == 0)
		return;
	if (errno == EOPNOTSUPP)
		skip("no ACLs");
	OK(-1);
}

static void a_list_is_kept_and_changes_the_mode(void)
{
	struct list is = {0}, wanted = named(OTHER, 7, 5);

	make_file("file", "text");
	set_access("file", OTHER, 7, 5);
	EQUAL(mode_of("file"), 0650);
	EQUAL(getxattr("file", ACCESS, &is, sizeof(is)), SIZE_OF(5));
	SAME(&is, &wanted, SIZE_OF(5));
	OK(chmod("file", 0644));
	EQUAL(getxattr("file", ACCESS, &is, sizeof(is)), SIZE_OF(5));
	EQUAL(is.entries[3].perm, 4); /* the mask is the group's part of the mode */
	EQUAL(is.entries[2].perm, 4);
	EQUAL(is.entries[4].perm, 4);
	OK(removexattr("file", ACCESS));
	FAILS(ENODATA, getxattr("file", ACCESS, &is, sizeof(is)));
}

static void a_list_that_says_no_more_than_a_mode_is_the_mode(void)
{
	struct list list = {2, {{USER_OBJ, 7, NOBODY}, {GROUP_OBJ, 5, NOBODY}, {OTHERS, 1, NOBODY}}};

	make_file("file", "text");
	set_access("file", OTHER, 7, 5);
	OK(setxattr("file", ACCESS, &list, SIZE_OF(3), 0));
	EQUAL(mode_of("file"), 0751);
	FAILS(ENODATA, getxattr("file", ACCESS, &list, sizeof(list)));
}

static void a_list_that_makes_no_sense_is_refused(void)
{
	struct list list = {2, {{USER_OBJ, 6, NOBODY}, {USER, 6, OTHER}, {OTHERS, 0, NOBODY}}};

	make_file("file", "text");
	set_access("file", OTHER, 7, 5);
	FAILS(EINVAL, setxattr("file", ACCESS, &list, SIZE_OF(3), 0));
	list.version = 3;
	FAILS2(EOPNOTSUPP, EINVAL, setxattr("file", ACCESS, &list, SIZE_OF(3), 0));
	list = named(OTHER, 7, 7);
	FAILS2(EACCES, EINVAL, setxattr("file", DEFAULT, &list, SIZE_OF(5), 0)); /* for folders */
}

static void lists_of_a_folder_are_inherited(void)
{
	struct list list = named(OTHER, 7, 7), is = {0};

	make_folder("folder");
	set_access("folder", OTHER, 7, 7);
	list.entries[0].perm = 7;
	list.entries[2].perm = 5;
	OK(setxattr("folder", DEFAULT, &list, SIZE_OF(5), 0));
	OK(chmod("folder", 0775));
	umask(077); /* which does not count then */
	OK(close((int)OK(open("folder/file", O_CREAT | O_RDWR, 0664))));
	EQUAL(getxattr("folder/file", ACCESS, &is, sizeof(is)), SIZE_OF(5));
	EQUAL(is.entries[1].perm, 7);
	EQUAL(is.entries[3].perm, 6);
	EQUAL(mode_of("folder/file"), 0660);
	OK(mkdir("folder/sub", 0777));
	EQUAL(getxattr("folder/sub", DEFAULT, &is, sizeof(is)), SIZE_OF(5));
	SAME(&is, &list, SIZE_OF(5));
	EQUAL(getxattr("folder/sub", ACCESS, &is, sizeof(is)), SIZE_OF(5));
	EQUAL(mode_of("folder/sub"), 0770);
	OK(removexattr("folder/sub", DEFAULT));
	umask(027);
	OK(close((int)OK(open("folder/sub/file", O_CREAT | O_RDWR, 0666))));
	EQUAL(mode_of("folder/sub/file"), 0640);
}

static void a_list_opens_a_file_to_whom_it_names(void)
{
	make_file("file", "text");
	set_access("file", OTHER, 6, 6);
	if (child_begin_as(OTHER, OTHER)) {
		EQUAL(write(opened("file", O_RDWR), "TEXT", 4), 4);
		child_end();
	}
	if (child_begin_as(OTHER2, OTHER2)) {
		FAILS(EACCES, open("file", O_RDONLY));
		child_end();
	}
	set_access("file", OTHER, 6, 4);
	if (child_begin_as(OTHER, OTHER)) {
		has_text("file", "TEXT");
		FAILS(EACCES, open("file", O_WRONLY));
		FAILS2(EPERM, EACCES, removexattr("file", ACCESS));
		child_end();
	}
}

static const struct posix_case cases[] = {
	CASE(a_list_is_kept_and_changes_the_mode),
	CASE(a_list_that_says_no_more_than_a_mode_is_the_mode),
	CASE(a_list_that_makes_no_sense_is_refused),
	CASE(lists_of_a_folder_are_inherited),
	CASE_FOR(FOR_ROOT, a_list_opens_a_file_to_whom_it_names),
};
GROUP(acl);
