/* Locks of the three kinds, between processes. */
#include "posix.h"

#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <time.h>

#define PATIENCE_S 5

static struct flock range(short type, off_t start, off_t size)
{
	return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = size};
}

static int posix_lock(int fd, int command, short type, off_t start, off_t size)
{
	struct flock lock = range(type, start, size);

	return fcntl(fd, command, &lock);
}

static void wait_briefly(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL);
}

static void nothing(int number)
{
	(void)number;
}

static void flock_excludes_other_openings(void)
{
	int fd, other;

	make_file("file", "");
	fd = opened("file", O_RDONLY);
	other = opened("file", O_RDONLY);
	OK(flock(fd, LOCK_EX | LOCK_NB));
	FAILS(EAGAIN, flock(other, LOCK_EX | LOCK_NB));
	FAILS(EAGAIN, flock(other, LOCK_SH | LOCK_NB));
	OK(flock(fd, LOCK_SH | LOCK_NB));
	OK(flock(other, LOCK_SH | LOCK_NB));
	FAILS(EAGAIN, flock(fd, LOCK_EX | LOCK_NB));
	OK(flock(other, LOCK_UN));
	OK(flock(dup(fd), LOCK_EX | LOCK_NB)); /* the same opening */
	FAILS(EAGAIN, flock(other, LOCK_SH | LOCK_NB));
	if (child_begin()) {
		FAILS(EAGAIN, flock(opened("file", O_RDONLY), LOCK_EX | LOCK_NB));
		OK(flock(fd, LOCK_EX | LOCK_NB));
		child_end();
	}
	OK(flock(fd, LOCK_UN));
	OK(flock(other, LOCK_EX | LOCK_NB));
}

static void flock_ends_with_its_opening(void)
{
	int fd, other, copy;

	make_file("file", "");
	fd = opened("file", O_RDWR);
	other = opened("file", O_RDWR);
	OK(flock(fd, LOCK_EX));
	copy = (int)OK(dup(fd));
	OK(close(fd));
	FAILS(EAGAIN, flock(other, LOCK_EX | LOCK_NB));
	OK(close(copy));
	OK(flock(other, LOCK_EX)); /* at once or soon */
}

static void flock_waits(void)
{
	struct turns to_parent = turns_make();
	pid_t pid;
	int fd;

	make_file("file", "");
	fd = opened("file", O_RDWR);
	OK(flock(fd, LOCK_EX));
	pid = child_start();
	if (pid == 0) {
		int own = opened("file", O_RDWR);

		turn_give(&to_parent);
		OK(flock(own, LOCK_EX));
		has_text("file", "unlocked");
		child_end();
	}
	turn_wait(&to_parent);
	wait_briefly();
	make_file("file", "unlocked");
	OK(flock(fd, LOCK_UN));
	child_wait(pid);
}

static void folders_can_be_locked(void)
{
	int fd, other;

	make_folder("folder");
	fd = opened("folder", O_RDONLY | O_DIRECTORY);
	other = opened("folder", O_RDONLY | O_DIRECTORY);
	OK(flock(fd, LOCK_EX | LOCK_NB));
	FAILS(EAGAIN, flock(other, LOCK_EX | LOCK_NB));
	OK(flock(fd, LOCK_UN));
	OK(flock(other, LOCK_EX | LOCK_NB));
}

static void ranges_exclude_other_processes(void)
{
	struct flock lock;
	int fd;

	make_file("file", "0123456789");
	fd = opened("file", O_RDWR);
	OK(posix_lock(fd, F_SETLK, F_WRLCK, 2, 3));
	OK(posix_lock(fd, F_SETLK, F_RDLCK, 7, 0));
	if (child_begin()) {
		int own = opened("file", O_RDWR);

		FAILS2(EAGAIN, EACCES, posix_lock(own, F_SETLK, F_WRLCK, 0, 3));
		FAILS2(EAGAIN, EACCES, posix_lock(fd, F_SETLK, F_RDLCK, 4, 1));
		FAILS2(EAGAIN, EACCES, posix_lock(own, F_SETLK, F_WRLCK, 100, 1));
		OK(posix_lock(own, F_SETLK, F_RDLCK, 100, 1));
		OK(posix_lock(own, F_SETLK, F_WRLCK, 0, 2));
		OK(posix_lock(own, F_SETLK, F_WRLCK, 5, 2));
		lock = range(F_WRLCK, 0, 0);
		OK(fcntl(own, F_GETLK, &lock));
		EQUAL(lock.l_type, F_WRLCK);
		EQUAL(lock.l_start, 2);
		EQUAL(lock.l_len, 3);
		lock = range(F_RDLCK, 5, 100);
		OK(fcntl(own, F_GETLK, &lock));
		EQUAL(lock.l_type, F_UNLCK);
		child_end();
	}
	OK(posix_lock(fd, F_SETLK, F_WRLCK, 0, 0)); /* what was the child's is free */
}

static void who_holds_a_lock_is_told(void)
{
	struct flock lock = range(F_WRLCK, 0, 0);
	int fd;

	make_file("file", "0123456789");
	fd = opened("file", O_RDWR);
	OK(posix_lock(fd, F_SETLK, F_WRLCK, 2, 3));
	if (child_begin()) {
		OK(fcntl(fd, F_GETLK, &lock));
		EQUAL(lock.l_pid, getppid());
		child_end();
	}
}

static void a_process_does_not_exclude_itself(void)
{
	int fd, other;

	make_file("file", "0123456789");
	fd = opened("file", O_RDWR);
	other = opened("file", O_RDWR);
	OK(posix_lock(fd, F_SETLK, F_WRLCK, 0, 10));
	OK(posix_lock(other, F_SETLK, F_WRLCK, 0, 5));
	OK(posix_lock(other, F_SETLK, F_RDLCK, 3, 4));
	OK(posix_lock(fd, F_SETLK, F_UNLCK, 4, 1)); /* splits it */
	if (child_begin()) {
		OK(posix_lock(fd, F_SETLK, F_WRLCK, 4, 1));
		FAILS2(EAGAIN, EACCES, posix_lock(fd, F_SETLK, F_WRLCK, 3, 1));
		OK(posix_lock(fd, F_SETLK, F_RDLCK, 5, 2));
		FAILS2(EAGAIN, EACCES, posix_lock(fd, F_SETLK, F_RDLCK, 7, 1));
		child_end();
	}
}

static void closing_any_descriptor_ends_a_process_s_ranges(void)
{
	int fd, other;

	make_file("file", "0123456789");
	fd = opened("file", O_RDWR);
	other = opened("file", O_RDONLY);
	OK(posix_lock(fd, F_SETLK, F_WRLCK, 0, 10));
	OK(close(other));
	if (child_begin()) {
		OK(posix_lock(fd, F_SETLK, F_WRLCK, 0, 10));
		child_end();
	}
	OK(posix_lock(fd, F_SETLK, F_WRLCK, 0, 10)); /* the child ended */
}

static void waiting_for_a_range_ends_when_it_is_free(void)
{
	struct turns to_parent = turns_make();
	pid_t pid;
	int fd;

	make_file("file", "locked");
	fd = opened("file", O_RDWR);
	OK(posix_lock(fd, F_SETLK, F_WRLCK, 0, 10));
	pid = child_start();
	if (pid == 0) {
		turn_give(&to_parent);
		OK(posix_lock(fd, F_SETLKW, F_WRLCK, 5, 10));
		has_text("file", "free  ");
		child_end();
	}
	turn_wait(&to_parent);
	wait_briefly();
	EQUAL(pwrite(fd, "free  ", 6, 0), 6);
	OK(posix_lock(fd, F_SETLK, F_UNLCK, 0, 0));
	child_wait(pid);
}

static void waiting_for_a_range_is_interrupted_by_a_signal(void)
{
	struct turns to_parent = turns_make();
	struct sigaction action = {.sa_handler = nothing};
	bool interrupted;
	pid_t pid;
	int fd;

	make_file("file", "");
	fd = opened("file", O_RDWR);
	OK(posix_lock(fd, F_SETLK, F_WRLCK, 0, 10));
	pid = child_start();
	if (pid == 0) {
		OK(sigaction(SIGALRM, &action, NULL));
		alarm(1);
		FAILS(EINTR, posix_lock(fd, F_SETLKW, F_WRLCK, 5, 10));
		turn_give(&to_parent);
		/* Nothing of it is left that would take the lock later. */
		OK(posix_lock(fd, F_SETLKW, F_WRLCK, 5, 10));
		child_end();
	}
	/* Where it is not, it ends with the lock. */
	interrupted = turn_comes(&to_parent, PATIENCE_S);
	OK(posix_lock(fd, F_SETLK, F_UNLCK, 0, 0));
	TRUE(interrupted);
	child_wait(pid);
	OK(posix_lock(fd, F_SETLK, F_WRLCK, 0, 0));
}

static void who_waits_for_a_lock_can_be_killed(void)
{
	struct turns to_parent = turns_make();
	struct pollfd end;
	int fd, ends[2];
	bool ended;
	pid_t pid;

	make_file("file", "");
	fd = opened("file", O_RDWR);
	OK(flock(fd, LOCK_EX));
	OK(pipe(ends));
	pid = child_start();
	if (pid == 0) {
		int own = opened("file", O_RDWR);

		OK(close(ends[0]));
		turn_give(&to_parent);
		OK(flock(own, LOCK_EX));
		child_end();
	}
	OK(close(ends[1]));
	turn_wait(&to_parent);
	wait_briefly();
	OK(kill(pid, SIGKILL));
	end = (struct pollfd){.fd = ends[0]};
	ended = poll(&end, 1, PATIENCE_S * 1000) > 0; /* the pipe's other end went with it */
	OK(flock(fd, LOCK_UN));
	TRUE(ended);
	EQUAL(child_signal(pid), SIGKILL);
	OK(flock(opened("file", O_RDWR), LOCK_EX));
}

static void locks_of_an_opening_are_its_own(void)
{
	int fd, other;

	make_file("file", "0123456789");
	fd = opened("file", O_RDWR);
	other = opened("file", O_RDWR);
	OK(posix_lock(fd, F_OFD_SETLK, F_WRLCK, 0, 5));
	FAILS2(EAGAIN, EACCES, posix_lock(other, F_OFD_SETLK, F_WRLCK, 4, 5));
	OK(posix_lock(other, F_OFD_SETLK, F_WRLCK, 5, 5));
	FAILS2(EAGAIN, EACCES, posix_lock(fd, F_SETLK, F_WRLCK, 0, 5)); /* not even of the same process */
	if (child_begin()) {
		OK(posix_lock(fd, F_OFD_SETLK, F_WRLCK, 0, 5));
		child_end();
	}
	FAILS2(EAGAIN, EACCES, posix_lock(other, F_OFD_SETLK, F_WRLCK, 0, 1));
	OK(posix_lock(fd, F_OFD_SETLK, F_UNLCK, 0, 0));
	OK(posix_lock(other, F_OFD_SETLK, F_WRLCK, 0, 10));
}

static void locks_of_an_opening_end_with_it(void)
{
	int fd, other;

	make_file("file", "0123456789");
	fd = opened("file", O_RDWR);
	other = opened("file", O_RDWR);
	OK(posix_lock(fd, F_OFD_SETLK, F_WRLCK, 0, 5));
	OK(close(opened("file", O_RDWR)));
	FAILS2(EAGAIN, EACCES, posix_lock(other, F_OFD_SETLK, F_WRLCK, 0, 5));
	OK(close(fd));
	OK(posix_lock(other, F_OFD_SETLKW, F_WRLCK, 0, 5)); /* at once or soon */
}

static void locks_need_the_right_kind_of_opening(void)
{
	make_file("file", "0123456789");
	FAILS(EBADF, posix_lock(opened("file", O_RDONLY), F_SETLK, F_WRLCK, 0, 5));
	FAILS(EBADF, posix_lock(opened("file", O_WRONLY), F_SETLK, F_RDLCK, 0, 5));
	OK(posix_lock(opened("file", O_RDONLY), F_SETLK, F_RDLCK, 0, 5));
	FAILS(EINVAL, posix_lock(opened("file", O_RDWR), F_SETLK, F_WRLCK, -1, 5));
}

static void many_ranges_of_many_processes_count_right(void)
{
	enum { PROCESSES = 4, ROUNDS = 40 };
	pid_t pids[PROCESSES];
	int count = 0;

	make_file("counter", "");
	OK(truncate("counter", sizeof(count)));
	for (int k = 0; k < PROCESSES; k++) {
		pids[k] = child_start();
		if (pids[k] == 0) {
			int fd = opened("counter", O_RDWR);

			for (int i = 0; i < ROUNDS; i++) {
				OK(posix_lock(fd, F_SETLKW, F_WRLCK, 0, sizeof(count)));
				EQUAL(pread(fd, &count, sizeof(count), 0), sizeof(count));
				count++;
				EQUAL(pwrite(fd, &count, sizeof(count), 0), sizeof(count));
				OK(posix_lock(fd, F_SETLK, F_UNLCK, 0, sizeof(count)));
			}
			child_end();
		}
	}
	for (int k = 0; k < PROCESSES; k++)
		child_wait(pids[k]);
	EQUAL(pread(opened("counter", O_RDONLY), &count, sizeof(count), 0), sizeof(count));
	EQUAL(count, PROCESSES * ROUNDS);
}

static const struct posix_case cases[] = {
	CASE(flock_excludes_other_openings),
	CASE(flock_ends_with_its_opening),
	CASE(flock_waits),
	CASE(folders_can_be_locked),
	CASE(ranges_exclude_other_processes),
	CASE(who_holds_a_lock_is_told),
	CASE(a_process_does_not_exclude_itself),
	CASE(closing_any_descriptor_ends_a_process_s_ranges),
	CASE(waiting_for_a_range_ends_when_it_is_free),
	CASE(waiting_for_a_range_is_interrupted_by_a_signal),
	CASE(who_waits_for_a_lock_can_be_killed),
	CASE(locks_of_an_opening_are_its_own),
	CASE(locks_of_an_opening_end_with_it),
	CASE(locks_need_the_right_kind_of_opening),
	CASE(many_ranges_of_many_processes_count_right),
};
GROUP(lock);
