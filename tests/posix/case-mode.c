/* What modes say, get and lose. */
#include "posix.h"

static void new_things_have_the_mode_that_was_asked_less_the_umask(void)
{
	OK(close((int)OK(open("file", O_CREAT | O_RDWR, 0666))));
	EQUAL(mode_of("file"), 0644);
	umask(0);
	OK(close((int)OK(open("open", O_CREAT | O_RDWR, 0666))));
	EQUAL(mode_of("open"), 0666);
	OK(mkdir("wide", 0777));
	EQUAL(mode_of("wide"), 0777);
	OK(mkfifo("fifo", 0622));
	EQUAL(mode_of("fifo"), 0622);
	umask(0077);
	OK(close((int)OK(open("closed", O_CREAT | O_RDWR, 0777))));
	EQUAL(mode_of("closed"), 0700);
	OK(mkdir("private", 0777));
	EQUAL(mode_of("private"), 0700);
	OK(mkdir("sticky", 01777));
	EQUAL(mode_of("sticky"), 01700);
	umask(0777);
	OK(close((int)OK(open("none", O_CREAT | O_RDWR, 0777))));
	EQUAL(mode_of("none"), 0);
}

static void umasks_of_processes_do_not_mix(void)
{
	pid_t pids[3];
	char name[16];

	for (int k = 0; k < 3; k++) {
		pids[k] = child_start();
		if (pids[k] == 0) {
			mode_t mask = (mode_t)(k * 022 + k);

			umask(mask);
			for (int i = 0; i < 30; i++) {
				snprintf(name, sizeof(name), "%d-%d", k, i);
				OK(mkdir(name, 0777));
				EQUAL(mode_of(name), 0777 & ~mask);
			}
			child_end();
		}
	}
	for (int k = 0; k < 3; k++)
		child_wait(pids[k]);
}

static void every_bit_can_be_set(void)
{
	static const mode_t modes[] = {0, 0777, 04755, 02755, 06711, 01644, 0123, 0400, 07777, 0644};

	make_file("file", "");
	make_folder("folder");
	for (size_t i = 0; i < COUNT_OF(modes); i++) {
		OK(chmod("file", modes[i]));
		EQUAL(mode_of("file"), modes[i]);
		OK(chmod("folder", modes[i]));
		EQUAL(mode_of("folder"), modes[i]);
	}
	OK(chmod("folder", 0755));
	OK(fchmod(opened("file", O_RDONLY), 0600));
	EQUAL(mode_of("file"), 0600);
	OK(fchmodat(AT_FDCWD, "file", 0640, 0));
	EQUAL(mode_of("file"), 0640);
	FAILS(ENOENT, chmod("nothing", 0644));
}

static void modes_of_links_are_those_of_their_targets(void)
{
	make_file("file", "");
	OK(symlink("file", "link"));
	OK(chmod("link", 0600));
	EQUAL(mode_of("file"), 0600);
	EQUAL(mode_of("link"), 0777);
}

static void writing_takes_the_set_id_bits(void)
{
	int fd;

	make_file("file", "text");
	OK(chmod("file", 06777));
	if (child_begin_as(is_root() ? OTHER : geteuid(), is_root() ? OTHER : getegid())) {
		EQUAL(write(opened("file", O_WRONLY), "x", 1), 1);
		EQUAL(mode_of("file"), 0777);
		child_end();
	}
	EQUAL(mode_of("file"), 0777);
	OK(chmod("file", 02767)); /* no group to run it with: means something else */
	fd = opened("file", O_WRONLY);
	EQUAL(write(fd, "x", 1), 1);
	if (is_root())
		EQUAL(mode_of("file"), 02767);
}

static void truncating_takes_the_set_id_bits(void)
{
	make_file("file", "text");
	OK(chmod("file", 06777));
	if (child_begin_as(is_root() ? OTHER : geteuid(), is_root() ? OTHER : getegid())) {
		OK(truncate("file", 1));
		EQUAL(mode_of("file"), 0777);
		child_end();
	}
	OK(chmod("file", 06777));
	if (child_begin_as(is_root() ? OTHER : geteuid(), is_root() ? OTHER : getegid())) {
		OK(close(opened("file", O_WRONLY | O_TRUNC)));
		EQUAL(mode_of("file"), 0777);
		child_end();
	}
	EQUAL(mode_of("file"), 0777);
}

static void writing_by_root_keeps_the_set_id_bits(void)
{
	make_file("file", "text");
	OK(chmod("file", 06777));
	EQUAL(write(opened("file", O_WRONLY), "x", 1), 1);
	EQUAL(mode_of("file"), 06777);
}

static void a_set_group_id_folder_hands_on_its_group(void)
{
	gid_t group = is_root() ? OTHER : getegid();

	make_folder("folder");
	OK(chown("folder", (uid_t)-1, group));
	OK(chmod("folder", 02775));
	make_file("folder/file", "");
	make_folder("folder/sub");
	OK(symlink("x", "folder/link"));
	EQUAL(stat_of("folder/file").st_gid, group);
	EQUAL(mode_of("folder/file"), 0644);
	EQUAL(stat_of("folder/sub").st_gid, group);
	EQUAL(mode_of("folder/sub"), 02755);
	make_folder("folder/sub/deeper");
	EQUAL(mode_of("folder/sub/deeper"), 02755);
	EQUAL(stat_of("folder/sub/deeper").st_gid, group);
	make_folder("plain");
	EQUAL(stat_of("plain").st_gid, getegid());
}

static void nobody_gives_set_group_id_to_a_group_that_is_not_theirs(void)
{
	make_folder("folder");
	OK(chmod("folder", 0777));
	make_file("file", "");
	OK(chown("file", OTHER, OTHER2));
	OK(chmod("folder", 02777));
	OK(chown("folder", 0, OTHER2));
	OK(chmod("folder", 02777));
	if (child_begin_as(OTHER, OTHER)) {
		OK(chmod("file", 02755));
		EQUAL(mode_of("file"), 0755);
		umask(0);
		OK(close((int)OK(open("folder/file", O_CREAT | O_RDWR, 02775))));
		EQUAL(mode_of("folder/file"), 0775);
		EQUAL(stat_of("folder/file").st_gid, OTHER2);
		child_end();
	}
}

static void in_a_sticky_folder_everybody_has_their_own(void)
{
	make_folder("folder");
	OK(chmod("folder", 01777));
	make_file("folder/roots", "");
	if (child_begin_as(OTHER, OTHER)) {
		make_file("folder/others", "text");
		make_folder("folder/sub");
		FAILS2(EPERM, EACCES, unlink("folder/roots"));
		FAILS2(EPERM, EACCES, rename("folder/roots", "folder/x"));
		child_end();
	}
	if (child_begin_as(OTHER2, OTHER2)) {
		make_file("folder/mine", "");
		FAILS2(EPERM, EACCES, unlink("folder/others"));
		FAILS2(EPERM, EACCES, rename("folder/mine", "folder/others"));
		FAILS2(EPERM, EACCES, rmdir("folder/sub"));
		has_text("folder/others", "text");
		OK(unlink("folder/mine"));
		child_end();
	}
	if (child_begin_as(OTHER, OTHER)) {
		OK(unlink("folder/others"));
		OK(rmdir("folder/sub"));
		child_end();
	}
	OK(unlink("folder/roots"));
}

static void modes_are_kept_for_owner_group_and_others(void)
{
	make_file("file", "text");
	OK(chown("file", OTHER, OTHER2));
	OK(chmod("file", 0640));
	if (child_begin_as(OTHER, OTHER)) {
		EQUAL(write(opened("file", O_WRONLY | O_APPEND), "more", 4), 4);
		child_end();
	}
	if (child_begin_as(OTHER2, OTHER2)) {
		has_text("file", "textmore");
		FAILS(EACCES, open("file", O_WRONLY));
		child_end();
	}
	if (child_begin_as(5555, 5555)) {
		FAILS(EACCES, open("file", O_RDONLY));
		FAILS(EPERM, chmod("file", 0777));
		child_end();
	}
	OK(chmod("file", 0066));
	if (child_begin_as(OTHER, OTHER2)) {
		FAILS(EACCES, open("file", O_RDONLY)); /* the owner is no other */
		OK(chmod("file", 0404));
		has_text("file", "textmore");
		child_end();
	}
	EQUAL(mode_of("file"), 0404);
}

static void access_is_told_as_it_is_granted(void)
{
	make_file("file", "");
	OK(chmod("file", 0755));
	OK(access("file", R_OK | W_OK | X_OK));
	OK(chmod("file", 0644));
	FAILS(EACCES, access("file", X_OK));
	OK(faccessat(AT_FDCWD, "file", R_OK | W_OK, AT_EACCESS));
	FAILS(ENOENT, access("nothing", F_OK));
	OK(chmod("file", 0));
	OK(access("file", F_OK));
	if (is_root()) {
		OK(access("file", R_OK | W_OK));
	} else {
		FAILS(EACCES, access("file", R_OK));
		FAILS(EACCES, access("file", W_OK));
	}
}

static const struct posix_case cases[] = {
	CASE(new_things_have_the_mode_that_was_asked_less_the_umask),
	CASE(umasks_of_processes_do_not_mix),
	CASE(every_bit_can_be_set),
	CASE(modes_of_links_are_those_of_their_targets),
	CASE(writing_takes_the_set_id_bits),
	CASE(truncating_takes_the_set_id_bits),
	CASE_FOR(FOR_ROOT, writing_by_root_keeps_the_set_id_bits),
	CASE(a_set_group_id_folder_hands_on_its_group),
	CASE_FOR(FOR_ROOT, nobody_gives_set_group_id_to_a_group_that_is_not_theirs),
	CASE_FOR(FOR_ROOT, in_a_sticky_folder_everybody_has_their_own),
	CASE_FOR(FOR_ROOT, modes_are_kept_for_owner_group_and_others),
	CASE(access_is_told_as_it_is_granted),
};
GROUP(mode);
