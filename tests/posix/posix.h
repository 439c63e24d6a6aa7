#pragma once
/*
 * Cases that a file system has to pass, and what they are written with. Each case runs in a process and an empty folder
 * of its own, which is its working folder; its umask is 022. The first thing that is not as it should be ends it, and
 * is what is told of it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#define PRINTF(text, first) __attribute__((format(printf, text, first)))
#define COUNT_OF(array)     (sizeof(array) / sizeof((array)[0]))

/* Whom root lets do things: neither root nor the machine's user, and in no group of theirs. */
#define OTHER  4242
#define OTHER2 4343

#define FOR_ROOT 1u /* of no use to others */
#define FOR_USER 2u /* root would be allowed */

struct posix_case {
	const char *name;
	void (*run)(void);
	unsigned flags;
};
#define CASE(function)                 \
	{                              \
#function, function, 0 \
	}
#define CASE_FOR(whom, function)          \
	{                                 \
#function, function, whom \
	}

struct posix_group {
	const char *name;
	const struct posix_case *cases;
	size_t count;
};
#define GROUP(what) const struct posix_group group_##what = {#what, cases, COUNT_OF(cases)}

extern const struct posix_group group_open, group_name, group_data, group_space, group_rename, group_link, group_remove,
	group_mode, group_owner, group_time, group_folder, group_attribute, group_acl, group_lock, group_map,
	group_special;

/* --- ends of a case, of any of its processes --- */

_Noreturn void stop(const char *file, int line, const char *format, ...) PRINTF(3, 4);
_Noreturn void skip(const char *format, ...) PRINTF(1, 2);
const char *error_name(int error);

/* What a call returned, which must not be negative. */
#define OK(call) ok((call), #call, __FILE__, __LINE__)
/* It must fail so; FAILS2: or so. */
#define FAILS(error, call)       fails((call), #call, error, error, __FILE__, __LINE__)
#define FAILS2(one, other, call) fails((call), #call, one, other, __FILE__, __LINE__)
#define EQUAL(is, wanted)        equal((long long)(is), (long long)(wanted), #is, __FILE__, __LINE__)
#define TRUE(condition)          ((condition) ? (void)0 : stop(__FILE__, __LINE__, "%s is not so", #condition))
#define SAME_TEXT(is, wanted)    same_text(is, wanted, #is, __FILE__, __LINE__)
#define SAME(is, wanted, size)   same_bytes(is, wanted, size, #is, __FILE__, __LINE__)

long ok(long result, const char *what, const char *file, int line);
void fails(long result, const char *what, int error, int other, const char *file, int line);
void equal(long long is, long long wanted, const char *what, const char *file, int line);
void same_text(const char *is, const char *wanted, const char *what, const char *file, int line);
void same_bytes(const void *is, const void *wanted, size_t size, const char *what, const char *file, int line);

/* --- processes --- */

/* true: in a new process, which ends with child_end(); the process that calls waits for it: false. */
bool child_begin(void);
bool child_begin_as(uid_t uid, gid_t gid);
_Noreturn void child_end(void);
/* The same for one that runs beside the caller, to be waited for with child_wait(). */
pid_t child_start(void);
void child_wait(pid_t pid);
int child_signal(pid_t pid); /* that ended it; 0: none did */
/* For processes that take turns: whoever waits goes on when somebody has let it. */
struct turns {
	int fds[2];
};
struct turns turns_make(void);
void turn_wait(const struct turns *turns);
bool turn_comes(const struct turns *turns, int seconds); /* false: not by then */
void turn_give(const struct turns *turns);
bool is_root(void);

/* --- files --- */

void make_file(const char *name, const char *text);
void make_sized(const char *name, size_t size); /* with pattern_byte() of each place */
char pattern_byte(off_t at);
void make_folder(const char *name);
int opened(const char *name, int flags); /* what must open */
void has_text(const char *name, const char *text);
struct stat stat_of(const char *name); /* of what has this name: of a link itself */
struct stat stat_of_fd(int fd);
mode_t mode_of(const char *name); /* without the type */
void is_missing(const char *name);
bool is_there(const char *name);
/* How many names a folder has beside the dots. */
int names_in(const char *folder);
void remove_tree(const char *folder);

/* What the C library of the guest's programs has no function for. */
int rename_with(const char *from, const char *to, unsigned flags);
ssize_t read_with(int fd, void *data, size_t size, off_t at, int flags);
ssize_t write_with(int fd, const void *data, size_t size, off_t at, int flags);

/* --- programs of their own; each takes its arguments behind its name and returns its exit status --- */

int transcript_main(int argc, char **argv);
int fsx_main(int argc, char **argv);
int readonly_main(int argc, char **argv);
int shared_main(int argc, char **argv);
int full_main(int argc, char **argv);
