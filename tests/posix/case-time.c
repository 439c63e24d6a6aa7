/* What each call does to the three times. */
#include "posix.h"

#include <time.h>

struct times {
	struct timespec access, data, change;
};

static struct times times_of(const char *name)
{
	struct stat st = stat_of(name);

	return (struct times){st.st_atim, st.st_mtim, st.st_ctim};
}

static int compare(struct timespec a, struct timespec b)
{
	if (a.tv_sec != b.tv_sec)
		return a.tv_sec < b.tv_sec ? -1 : 1;
	return a.tv_nsec < b.tv_nsec ? -1 : a.tv_nsec > b.tv_nsec;
}

/* Far enough for the clock that stamps files. */
static void tick(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 30000000}, NULL);
}

#define CHANGED(which, before, name) TRUE(compare(times_of(name).which, (before).which) > 0)
#define KEPT(which, before, name)    TRUE(compare(times_of(name).which, (before).which) == 0)

static void times_can_be_set_to_the_nanosecond(void)
{
	struct timespec both[2] = {{1000000000, 123456789}, {1234567890, 987654321}};
	struct times before, is;

	make_file("file", "text");
	make_folder("folder");
	OK(symlink("file", "link"));
	before = times_of("file");
	tick();
	OK(utimensat(AT_FDCWD, "file", both, 0));
	is = times_of("file");
	TRUE(compare(is.access, both[0]) == 0 && compare(is.data, both[1]) == 0);
	CHANGED(change, before, "file");
	OK(utimensat(AT_FDCWD, "folder", both, 0));
	is = times_of("folder");
	TRUE(compare(is.access, both[0]) == 0 && compare(is.data, both[1]) == 0);
	both[1].tv_sec = 77;
	OK(utimensat(AT_FDCWD, "link", both, AT_SYMLINK_NOFOLLOW));
	EQUAL(times_of("link").data.tv_sec, 77);
	EQUAL(times_of("file").data.tv_sec, 1234567890);
	both[0].tv_sec = 88;
	OK(futimens(opened("file", O_RDONLY), both));
	EQUAL(times_of("file").access.tv_sec, 88);
}

static void a_time_can_be_now_or_left_alone(void)
{
	struct timespec old[2] = {{1000, 1}, {2000, 2}}, both[2] = {{0, UTIME_OMIT}, {0, UTIME_NOW}};
	struct times is;
	time_t now = time(NULL);

	make_file("file", "");
	OK(utimensat(AT_FDCWD, "file", old, 0));
	OK(utimensat(AT_FDCWD, "file", both, 0));
	is = times_of("file");
	TRUE(compare(is.access, old[0]) == 0);
	TRUE(is.data.tv_sec >= now - 60 && is.data.tv_sec <= now + 60);
	OK(utimensat(AT_FDCWD, "file", old, 0));
	both[0].tv_nsec = UTIME_NOW;
	both[1].tv_nsec = UTIME_OMIT;
	OK(utimensat(AT_FDCWD, "file", both, 0));
	is = times_of("file");
	TRUE(compare(is.data, old[1]) == 0);
	TRUE(is.access.tv_sec >= now - 60);
	OK(utimensat(AT_FDCWD, "file", NULL, 0));
	TRUE(times_of("file").data.tv_sec >= now - 60);
	both[0].tv_nsec = 1000000000;
	FAILS(EINVAL, utimensat(AT_FDCWD, "file", both, 0));
}

static void times_may_be_before_1970_and_after_2038(void)
{
	static const time_t seconds[] = {-1, -86400 * 365, 0, 1, 2147483647, 2147483648LL, 4294967296LL, 6000000000LL};

	make_file("file", "");
	for (size_t i = 0; i < COUNT_OF(seconds); i++) {
		struct timespec both[2] = {{seconds[i], 5}, {seconds[i], 6}};

		OK(utimensat(AT_FDCWD, "file", both, 0));
		EQUAL(times_of("file").data.tv_sec, seconds[i]);
		EQUAL(times_of("file").access.tv_sec, seconds[i]);
		EQUAL(times_of("file").data.tv_nsec, 6);
	}
}

static void contents_change_the_times_of_data(void)
{
	struct times before;
	int fd;

	make_file("file", "text");
	fd = opened("file", O_RDWR);
	before = times_of("file");
	tick();
	EQUAL(write(fd, "x", 1), 1);
	CHANGED(data, before, "file");
	CHANGED(change, before, "file");
	before = times_of("file");
	tick();
	OK(ftruncate(fd, 100));
	CHANGED(data, before, "file");
	before = times_of("file");
	tick();
	OK(truncate("file", 50));
	CHANGED(data, before, "file");
	CHANGED(change, before, "file");
	before = times_of("file");
	tick();
	OK(close(opened("file", O_WRONLY | O_TRUNC)));
	CHANGED(data, before, "file");
	before = times_of("file");
	tick();
	EQUAL(write(fd, "x", 0), 0);
	OK(close(opened("file", O_RDWR)));
	KEPT(data, before, "file");
	KEPT(change, before, "file");
}

static void times_that_were_set_survive_closing(void)
{
	struct timespec both[2] = {{1000000000, 5}, {1000000000, 6}};
	int fd = (int)OK(open("file", O_CREAT | O_RDWR, 0644));

	EQUAL(write(fd, "text", 4), 4);
	OK(futimens(fd, both));
	EQUAL(stat_of_fd(fd).st_mtim.tv_sec, 1000000000);
	OK(close(fd));
	EQUAL(times_of("file").data.tv_sec, 1000000000);
	EQUAL(times_of("file").data.tv_nsec, 6);
	has_text("file", "text");
	EQUAL(times_of("file").data.tv_sec, 1000000000);
}

static void what_is_said_about_a_file_changes_its_time_of_change(void)
{
	struct times before;

	make_file("file", "text");
	before = times_of("file");
	tick();
	OK(chmod("file", 0600));
	CHANGED(change, before, "file");
	KEPT(data, before, "file");
	before = times_of("file");
	tick();
	OK(link("file", "other"));
	CHANGED(change, before, "file");
	before = times_of("file");
	tick();
	OK(unlink("other"));
	CHANGED(change, before, "file");
	KEPT(data, before, "file");
	before = times_of("file");
	tick();
	OK(chown("file", geteuid(), getegid()));
	CHANGED(change, before, "file");
	KEPT(data, before, "file");
}

static void what_happens_in_a_folder_changes_its_times(void)
{
	struct times before;

	make_folder("folder");
#define CHANGES_FOLDER(call)                       \
	do {                                       \
		before = times_of("folder");       \
		tick();                            \
		OK(call);                          \
		CHANGED(data, before, "folder");   \
		CHANGED(change, before, "folder"); \
	} while (0)
	CHANGES_FOLDER(open("folder/file", O_CREAT | O_RDWR, 0644));
	CHANGES_FOLDER(mkdir("folder/sub", 0755));
	CHANGES_FOLDER(symlink("x", "folder/link"));
	CHANGES_FOLDER(link("folder/file", "folder/second"));
	CHANGES_FOLDER(mkfifo("folder/fifo", 0644));
	CHANGES_FOLDER(rename("folder/second", "folder/third"));
	CHANGES_FOLDER(rename("folder/third", "out"));
	CHANGES_FOLDER(rename("out", "folder/in"));
	CHANGES_FOLDER(unlink("folder/in"));
	CHANGES_FOLDER(rmdir("folder/sub"));
	before = times_of("folder");
	tick();
	make_file("folder/file", "text");
	FAILS(ENOENT, unlink("folder/nothing"));
	KEPT(data, before, "folder");
}

static void who_may_write_a_file_may_set_its_times_to_now_only(void)
{
	struct timespec old[2] = {{1000, 1}, {2000, 2}};

	make_file("file", "");
	OK(chmod("file", 0666));
	if (child_begin_as(OTHER, OTHER)) {
		OK(utimensat(AT_FDCWD, "file", NULL, 0));
		FAILS(EPERM, utimensat(AT_FDCWD, "file", old, 0));
		child_end();
	}
	OK(chmod("file", 0644));
	if (child_begin_as(OTHER, OTHER)) {
		FAILS(EACCES, utimensat(AT_FDCWD, "file", NULL, 0));
		child_end();
	}
}

static void reading_changes_no_other_time(void)
{
	struct times before;

	make_file("file", "text");
	before = times_of("file");
	tick();
	has_text("file", "text");
	EQUAL(names_in("."), 1);
	KEPT(data, before, "file");
	KEPT(change, before, "file");
	TRUE(compare(times_of("file").access, before.access) >= 0);
}

static const struct posix_case cases[] = {
	CASE(times_can_be_set_to_the_nanosecond),
	CASE(a_time_can_be_now_or_left_alone),
	CASE(times_may_be_before_1970_and_after_2038),
	CASE(contents_change_the_times_of_data),
	CASE(times_that_were_set_survive_closing),
	CASE(what_is_said_about_a_file_changes_its_time_of_change),
	CASE(what_happens_in_a_folder_changes_its_times),
	CASE_FOR(FOR_ROOT, who_may_write_a_file_may_set_its_times_to_now_only),
	CASE(reading_changes_no_other_time),
};
GROUP(time);
