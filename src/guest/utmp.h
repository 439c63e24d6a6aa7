#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Who is logged in on which terminal, as glibc's programs read it from /run/utmp: `who`, `w`, `users`, `wall`. The
 * session's process adds its record, the agent takes it away by the same open file, since the session may be killed.
 */
#define UTMP_FILE_MAX   (1u << 20) /* bytes of it that are looked through */
#define UTMP_RECORD_MAX 400u

struct utmp_entry {
	pid_t pid;         /* as the machine counts */
	unsigned terminal; /* /dev/pts/N */
	const char *user;
	int64_t seconds;
};

/* `machine` as uname(2) says it: whether times have 32 bits in there. The record's size. Pure. */
size_t utmp_fill(uint8_t ret[UTMP_RECORD_MAX], const char *machine, const struct utmp_entry *entry);

/*
 * Add a record, where the image has the file or a program that reads it. The descriptor stands at the record; -1: there
 * is none. Runs as the machine's root, which it may keep waiting.
 */
int utmp_login(const char *root, const struct utmp_entry *entry);

/* Nobody is asked when it is read or written: else the agent, to which only such a descriptor may go, could have to
 * wait for who has mounted something there. Asking this may wait, too. */
bool utmp_is_in_memory(int fd);

/* The agent's side: a descriptor of the session's. */
struct utmp_mark {
	int fd; /* -1: none */
	off_t offset;
	int32_t pid;
};
/* Takes the descriptor. */
void utmp_mark(struct utmp_mark *ret, int fd);
/* The terminal is nobody's any more; closes the descriptor. What others have put there since stays. */
void utmp_logout(struct utmp_mark *mark);
