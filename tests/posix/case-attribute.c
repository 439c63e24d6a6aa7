/* Extended attributes. */
#include "posix.h"

#include <sys/xattr.h>

static void needs_attributes(const char *name)
{
	if (setxattr(name, "user.probe", "", 0, 0) < 0 && errno == EOPNOTSUPP)
		skip("no extended attributes");
	removexattr(name, "user.probe");
}

static void attributes_are_set_read_listed_and_removed(void)
{
	char value[64] = "", names[256] = "";

	make_file("file", "text");
	needs_attributes("file");
	EQUAL(listxattr("file", names, sizeof(names)), 0);
	OK(setxattr("file", "user.one", "first", 5, 0));
	OK(setxattr("file", "user.two", "", 0, 0));
	EQUAL(getxattr("file", "user.one", NULL, 0), 5);
	EQUAL(getxattr("file", "user.one", value, sizeof(value)), 5);
	SAME_TEXT(value, "first");
	EQUAL(getxattr("file", "user.two", value, sizeof(value)), 0);
	EQUAL(listxattr("file", NULL, 0), 18);
	EQUAL(listxattr("file", names, sizeof(names)), 18);
	TRUE(memmem(names, 18, "user.one", 9) && memmem(names, 18, "user.two", 9));
	OK(setxattr("file", "user.one", "\0bytes\xff", 7, 0));
	EQUAL(getxattr("file", "user.one", value, sizeof(value)), 7);
	SAME(value, "\0bytes\xff", 7);
	OK(removexattr("file", "user.one"));
	FAILS(ENODATA, getxattr("file", "user.one", value, sizeof(value)));
	FAILS(ENODATA, removexattr("file", "user.one"));
	EQUAL(listxattr("file", names, sizeof(names)), 9);
}

static void attributes_can_be_made_or_replaced_only(void)
{
	make_file("file", "");
	needs_attributes("file");
	FAILS(ENODATA, setxattr("file", "user.a", "x", 1, XATTR_REPLACE));
	OK(setxattr("file", "user.a", "x", 1, XATTR_CREATE));
	FAILS(EEXIST, setxattr("file", "user.a", "y", 1, XATTR_CREATE));
	OK(setxattr("file", "user.a", "z", 1, XATTR_REPLACE));
}

static void room_that_is_too_small_is_told(void)
{
	char value[64];

	make_file("file", "");
	needs_attributes("file");
	OK(setxattr("file", "user.a", "0123456789", 10, 0));
	FAILS(ERANGE, getxattr("file", "user.a", value, 9));
	FAILS(ERANGE, listxattr("file", value, 6));
	EQUAL(listxattr("file", value, 7), 7);
	EQUAL(getxattr("file", "user.a", value, 10), 10);
}

static void limits_of_attributes_are_kept(void)
{
	char name[300] = "user.", *value = calloc(1, 65537);
	ssize_t size = 2000;

	make_file("file", "");
	needs_attributes("file");
	memset(name + 5, 'n', 250);
	OK(setxattr("file", name, "x", 1, 0));
	EQUAL(getxattr("file", name, value, 10), 1);
	name[255] = 'n';
	FAILS(ERANGE, setxattr("file", name, "x", 1, 0));
	FAILS2(E2BIG, ENOSPC, setxattr("file", "user.big", value, 65537, 0));
	memset(value, 'v', (size_t)size);
	OK(setxattr("file", "user.big", value, (size_t)size, 0));
	memset(value, 0, (size_t)size);
	EQUAL(getxattr("file", "user.big", value, 65536), size);
	EQUAL(value[size - 1], 'v');
}

static void attributes_belong_to_the_file_and_not_its_name(void)
{
	char value[8] = "";
	int fd;

	make_file("file", "");
	needs_attributes("file");
	OK(link("file", "other"));
	OK(setxattr("file", "user.a", "x", 1, 0));
	EQUAL(getxattr("other", "user.a", value, 8), 1);
	OK(rename("file", "moved"));
	fd = opened("moved", O_RDWR);
	EQUAL(fgetxattr(fd, "user.a", value, 8), 1);
	OK(unlink("moved"));
	OK(unlink("other"));
	OK(fsetxattr(fd, "user.b", "y", 1, 0));
	EQUAL(fgetxattr(fd, "user.b", value, 8), 1);
	OK(fremovexattr(fd, "user.a"));
	FAILS(ENODATA, fgetxattr(fd, "user.a", value, 8));
}

static void folders_have_attributes_and_links_have_none(void)
{
	char value[8] = "";

	make_folder("folder");
	OK(symlink("folder", "link"));
	needs_attributes("folder");
	OK(setxattr("link", "user.a", "x", 1, 0));
	EQUAL(getxattr("folder", "user.a", value, 8), 1);
	FAILS(EPERM, lsetxattr("link", "user.a", "x", 1, 0));
	OK(mkfifo("fifo", 0644));
	FAILS(EPERM, setxattr("fifo", "user.a", "x", 1, 0));
}

static void names_outside_the_users_are_refused_to_users(void)
{
	make_file("file", "");
	FAILS(EOPNOTSUPP, setxattr("file", "nonsense", "x", 1, 0));
	FAILS(EOPNOTSUPP, setxattr("file", "unknown.a", "x", 1, 0));
	FAILS2(EPERM, EOPNOTSUPP, setxattr("file", "trusted.a", "x", 1, 0));
	FAILS(ENODATA, getxattr("file", "trusted.a", NULL, 0));
	FAILS(ENODATA, getxattr("file", "security.capability", NULL, 0));
	FAILS(EOPNOTSUPP, getxattr("file", "nonsense", NULL, 0));
}

static void a_file_that_cannot_be_read_hides_its_attributes(void)
{
	char value[8];

	make_file("file", "");
	needs_attributes("file");
	OK(setxattr("file", "user.a", "x", 1, 0));
	OK(chmod("file", 0200));
	FAILS(EACCES, getxattr("file", "user.a", value, 8));
	OK(chmod("file", 0400));
	FAILS(EACCES, setxattr("file", "user.a", "y", 1, 0));
	EQUAL(getxattr("file", "user.a", value, 8), 1);
	FAILS(EACCES, removexattr("file", "user.a"));
}

static void root_sets_attributes_whatever_the_mode(void)
{
	char value[8] = "";

	make_file("file", "");
	needs_attributes("file");
	OK(chown("file", OTHER, OTHER));
	OK(chmod("file", 0));
	OK(setxattr("file", "user.a", "x", 1, 0));
	EQUAL(getxattr("file", "user.a", value, 8), 1);
	OK(removexattr("file", "user.a"));
	EQUAL(mode_of("file"), 0);
	EQUAL(stat_of("file").st_uid, OTHER);
	EQUAL(listxattr("file", NULL, 0), 0);
}

static const struct posix_case cases[] = {
	CASE(attributes_are_set_read_listed_and_removed),
	CASE(attributes_can_be_made_or_replaced_only),
	CASE(room_that_is_too_small_is_told),
	CASE(limits_of_attributes_are_kept),
	CASE(attributes_belong_to_the_file_and_not_its_name),
	CASE(folders_have_attributes_and_links_have_none),
	CASE_FOR(FOR_USER, names_outside_the_users_are_refused_to_users),
	CASE_FOR(FOR_USER, a_file_that_cannot_be_read_hides_its_attributes),
	CASE_FOR(FOR_ROOT, root_sets_attributes_whatever_the_mode),
};
GROUP(attribute);
