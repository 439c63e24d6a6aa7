#pragma once
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

/* Thin skins over system calls return -errno; all files are opened close-on-exec. `dir` is a folder's
 * descriptor or AT_FDCWD. They block as the disk does. */

MUST_USE int file_write_all(int fd, const void *bytes, size_t size); /* restarts; waits on EAGAIN by poll */
/* The same at a place of a file on disk, whose position stays. */
MUST_USE int file_write_at(int fd, const void *bytes, size_t size, uint64_t offset);
MUST_USE ssize_t file_read_full(int fd, void *bytes, size_t size); /* less than size only at the end */

/* The whole file, NUL-terminated behind *ret_size bytes; -EFBIG past `limit`. The caller frees *ret. */
MUST_USE int file_read(char **ret, size_t *ret_size, int dir, const char *path, size_t limit);
/* The same of what others have put there: anything but a regular file, as a pipe, is not waited for, but -EINVAL. */
MUST_USE int file_read_regular(char **ret, size_t *ret_size, int dir, const char *path, size_t limit);

/* Replace the file: written beside it, fsynced, renamed, folder fsynced. A crash leaves the old or the new. */
MUST_USE int file_write_atomic(int dir, const char *path, const void *bytes, size_t size, mode_t mode);
/* The same, with the mode, the owner and, where it may, the attributes of the file that is replaced; `mode` if there is
 * none. */
MUST_USE int file_replace(int dir, const char *path, const void *bytes, size_t size, mode_t mode);

/* Open a regular file that has no other name; nothing else is opened (-EINVAL), no link is followed (-ELOOP). */
MUST_USE int file_open_regular(int dir, const char *path, int flags);
/* Bytes on disk of a file, or of a folder with all that is in it; links are not followed. What can't be read or is gone
 * counts 0. A file with several names in the folder counts each time. */
uint64_t file_tree_size(int dir, const char *path);

MUST_USE int file_make_folders(const char *path, mode_t mode); /* mkdir -p; absolute or relative to the cwd */
MUST_USE int file_sync_folder(int dir, const char *path);
/* rm -rf without following links; a missing path is success. Stays on one file system. */
MUST_USE int file_remove_tree(int dir, const char *path);
bool file_exists(int dir, const char *path);

/* flock() on a file that stays; LOCK_SH/LOCK_EX with LOCK_NB. Returns the descriptor or -errno (-EWOULDBLOCK: held). */
MUST_USE int file_lock(int dir, const char *path, int operation);

/* Copy all of one descriptor to another, sparse-aware is not promised. Returns -errno. */
MUST_USE int file_copy(int to, int from);

/* "folder/name"; NULL when memory ran out. The caller frees it. */
char *path_join(const char *folder, const char *name);
/* The part behind the last slash. */
const char *path_name(const char *path);
/* The part of a path that is below a folder: "" for the folder itself, NULL when it lies elsewhere. Both are absolute,
 * without "//", "." and "..". */
const char *path_below(const char *folder, const char *path);
