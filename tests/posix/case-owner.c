/* Whose things are, and who may say so. */
#include "posix.h"

#include <sys/sysmacros.h>

static void new_things_are_those_of_who_makes_them(void)
{
	make_file("file", "");
	make_folder("folder");
	OK(symlink("x", "link"));
	OK(mkfifo("fifo", 0644));
	EQUAL(stat_of("file").st_uid, geteuid());
	EQUAL(stat_of("file").st_gid, getegid());
	EQUAL(stat_of("folder").st_uid, geteuid());
	EQUAL(stat_of("folder").st_gid, getegid());
	EQUAL(stat_of("fifo").st_uid, geteuid());
}

static void nobody_gives_their_files_away(void)
{
	make_file("file", "");
	FAILS(EPERM, chown("file", 0, (gid_t)-1));
	FAILS(EPERM, chown("file", (uid_t)-1, 0));
	FAILS(EPERM, chown("file", OTHER, OTHER));
	OK(chown("file", geteuid(), getegid()));
	OK(chown("file", (uid_t)-1, (gid_t)-1));
	FAILS(EPERM, chown("/", geteuid(), getegid()));
	FAILS(ENOENT, chown("nothing", geteuid(), (gid_t)-1));
}

static void giving_an_own_file_to_ones_own_group_takes_the_set_id_bits(void)
{
	make_file("file", "");
	OK(chmod("file", 06755));
	OK(chown("file", geteuid(), getegid()));
	EQUAL(mode_of("file"), 0755);
}

static void root_gives_files_to_whomever(void)
{
	static const struct {
		uid_t uid;
		gid_t gid;
	} owners[] = {{33, 33},     {OTHER, OTHER2}, {0, 0},       {65534, 65534},
		      {1000, 1000}, {999, 100},      {0, 4000000}, {1, 0}};
	int fd;

	make_file("file", "text");
	make_folder("folder");
	for (size_t i = 0; i < COUNT_OF(owners); i++) {
		OK(chown("file", owners[i].uid, owners[i].gid));
		EQUAL(stat_of("file").st_uid, owners[i].uid);
		EQUAL(stat_of("file").st_gid, owners[i].gid);
		OK(chown("folder", owners[i].uid, owners[i].gid));
		EQUAL(stat_of("folder").st_uid, owners[i].uid);
		EQUAL(stat_of("folder").st_gid, owners[i].gid);
		EQUAL(mode_of("file"), 0644);
		EQUAL(mode_of("folder"), 0755);
	}
	OK(chown("file", 7, (gid_t)-1));
	EQUAL(stat_of("file").st_gid, 0);
	OK(chown("file", (uid_t)-1, 8));
	EQUAL(stat_of("file").st_uid, 7);
	EQUAL(stat_of("file").st_gid, 8);
	fd = opened("file", O_RDWR);
	OK(fchown(fd, 9, 9));
	EQUAL(stat_of_fd(fd).st_uid, 9);
	has_text("file", "text");
}

static void a_new_owner_takes_the_set_id_bits(void)
{
	make_file("file", "");
	make_folder("folder");
	OK(chmod("file", 06755));
	OK(chmod("folder", 02775));
	OK(chown("file", OTHER, OTHER));
	OK(chown("folder", OTHER, OTHER));
	EQUAL(mode_of("file"), 0755);
	EQUAL(mode_of("folder"), 02775);
	OK(chmod("file", 04755));
	EQUAL(mode_of("file"), 04755);
	EQUAL(stat_of("file").st_uid, OTHER);
	OK(chmod("file", 02745));
	OK(chown("file", 0, 0));
	EQUAL(mode_of("file"), 02745);
}

static void owners_and_modes_stay_with_the_file(void)
{
	make_file("file", "text");
	OK(chown("file", 33, 34));
	OK(chmod("file", 04751));
	OK(link("file", "other"));
	EQUAL(stat_of("other").st_uid, 33);
	OK(rename("file", "moved"));
	OK(unlink("other"));
	EQUAL(stat_of("moved").st_uid, 33);
	EQUAL(stat_of("moved").st_gid, 34);
	EQUAL(mode_of("moved"), 04751);
	EQUAL(write(opened("moved", O_WRONLY | O_APPEND), "more", 4), 4);
	EQUAL(stat_of("moved").st_uid, 33);
	OK(utimensat(AT_FDCWD, "moved", NULL, 0));
	EQUAL(stat_of("moved").st_gid, 34);
	EQUAL(mode_of("moved"), 04751);
}

static void what_others_make_is_theirs(void)
{
	make_folder("folder");
	OK(chmod("folder", 0777));
	if (child_begin_as(OTHER, OTHER2)) {
		make_file("folder/file", "text");
		make_folder("folder/sub");
		make_file("folder/sub/file", "text");
		OK(mkfifo("folder/fifo", 0600));
		EQUAL(stat_of("folder/file").st_uid, OTHER);
		EQUAL(stat_of("folder/file").st_gid, OTHER2);
		OK(chmod("folder/file", 0600));
		child_end();
	}
	EQUAL(stat_of("folder/file").st_uid, OTHER);
	EQUAL(stat_of("folder/sub").st_gid, OTHER2);
	EQUAL(stat_of("folder/sub/file").st_uid, OTHER);
	EQUAL(stat_of("folder/fifo").st_uid, OTHER);
	EQUAL(mode_of("folder/file"), 0600);
	if (child_begin_as(OTHER2, OTHER)) {
		FAILS(EACCES, open("folder/file", O_RDONLY));
		FAILS(EACCES, open("folder/sub/new", O_CREAT | O_RDWR, 0644));
		FAILS(EPERM, chmod("folder/file", 0777));
		FAILS(EPERM, chown("folder/file", OTHER2, OTHER));
		child_end();
	}
	has_text("folder/file", "text");
}

static void the_owner_changes_a_group_to_one_of_theirs_only(void)
{
	make_file("file", "");
	OK(chown("file", OTHER, 0));
	if (child_begin_as(OTHER, OTHER2)) {
		FAILS(EPERM, chown("file", (uid_t)-1, 77));
		OK(chown("file", (uid_t)-1, OTHER2));
		EQUAL(stat_of("file").st_gid, OTHER2);
		FAILS(EPERM, chown("file", 0, (gid_t)-1));
		child_end();
	}
}

static void root_makes_devices_that_work(void)
{
	char bytes[4] = "";
	struct stat st;

	umask(0);
	OK(mknod("null", S_IFCHR | 0666, makedev(1, 3)));
	OK(mknod("zero", S_IFCHR | 0644, makedev(1, 5)));
	OK(mknod("block", S_IFBLK | 0660, makedev(7, 300)));
	st = stat_of("null");
	TRUE(S_ISCHR(st.st_mode));
	EQUAL(mode_of("null"), 0666);
	EQUAL(st.st_rdev, makedev(1, 3));
	EQUAL(st.st_size, 0);
	st = stat_of("block");
	TRUE(S_ISBLK(st.st_mode));
	EQUAL(st.st_rdev, makedev(7, 300));
	OK(chown("null", 0, 6));
	OK(chmod("null", 0660));
	EQUAL(stat_of("null").st_gid, 6);
	TRUE(S_ISCHR(stat_of("null").st_mode));
	OK(rename("zero", "moved"));
	TRUE(S_ISCHR(stat_of("moved").st_mode));
	EQUAL(stat_of("moved").st_rdev, makedev(1, 5));
	OK(link("null", "second"));
	TRUE(S_ISCHR(stat_of("second").st_mode));
	OK(mknod("file", S_IFREG | 0640, 0));
	TRUE(S_ISREG(stat_of("file").st_mode));
	int fd = open("moved", O_RDONLY);
	if (fd < 0 && errno == EACCES)
		skip("devices are closed here");
	OK(fd);
	EQUAL(read(fd, bytes, 4), 4);
	SAME(bytes, "\0\0\0\0", 4);
	EQUAL(write(opened("null", O_WRONLY), "text", 4), 4);
}

static void users_make_no_devices(void)
{
	FAILS(EPERM, mknod("null", S_IFCHR | 0666, makedev(1, 3)));
	FAILS(EPERM, mknod("block", S_IFBLK | 0666, makedev(7, 0)));
	OK(mknod("file", S_IFREG | 0644, 0));
	OK(mknod("fifo", S_IFIFO | 0644, 0));
	OK(mknod("socket", S_IFSOCK | 0644, 0));
	TRUE(S_ISSOCK(stat_of("socket").st_mode));
	FAILS(EEXIST, mknod("fifo", S_IFREG | 0644, 0));
	EQUAL(names_in("."), 3);
}

static const struct posix_case cases[] = {
	CASE(new_things_are_those_of_who_makes_them),
	CASE_FOR(FOR_USER, nobody_gives_their_files_away),
	CASE_FOR(FOR_USER, giving_an_own_file_to_ones_own_group_takes_the_set_id_bits),
	CASE_FOR(FOR_ROOT, root_gives_files_to_whomever),
	CASE_FOR(FOR_ROOT, a_new_owner_takes_the_set_id_bits),
	CASE_FOR(FOR_ROOT, owners_and_modes_stay_with_the_file),
	CASE_FOR(FOR_ROOT, what_others_make_is_theirs),
	CASE_FOR(FOR_ROOT, the_owner_changes_a_group_to_one_of_theirs_only),
	CASE_FOR(FOR_ROOT, root_makes_devices_that_work),
	CASE_FOR(FOR_USER, users_make_no_devices),
};
GROUP(owner);
