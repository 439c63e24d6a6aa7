#include "fuse-guest.h"

#include <sys/file.h>
#include <time.h>

static void what_is_written_is_read_on_both_sides(void **state)
{
	struct guest *guest = *state;
	uint64_t node = 0, fh = 0;

	assert_int_equal(guest_create(guest, guest->top, "a", O_RDWR, 0644, &node, &fh), 0);
	assert_int_equal(guest_write(guest, node, fh, 0, "hello world", 11), 11);
	assert_int_equal(guest_write(guest, node, fh, 6, "guest", 5), 5);
	host_expect(guest, "a", "hello guest");
	assert_int_equal(guest_read(guest, node, fh, 6, 100), 5);
	assert_memory_equal(ANSWER(guest, char), "guest", 5);
	assert_int_equal(guest_read(guest, node, fh, 11, 100), 0);
	assert_int_equal(guest_attributes(guest, node).size, 11);
	assert_int_equal(host_stat(guest, "a").st_mode, S_IFREG | 0644);
	guest_release(guest, node, fh);
	assert_int_equal(guest_read(guest, node, fh, 0, 1), -EBADF);
}

static void large_contents_cross_many_parts(void **state)
{
	struct guest *guest = *state;
	size_t size = 200000;
	char *bytes = malloc(size);
	uint64_t node = 0, fh = 0;

	assert_non_null(bytes);
	for (size_t i = 0; i < size; i++)
		bytes[i] = (char)(i * 7 + i / 251);
	assert_int_equal(guest_create(guest, guest->top, "big", O_RDWR, 0644, &node, &fh), 0);
	assert_int_equal(guest_write(guest, node, fh, 3, bytes, size), size);
	assert_int_equal(guest_read(guest, node, fh, 3, GUEST_BUFFER), size);
	assert_memory_equal(ANSWER(guest, char), bytes, size);
	free(bytes);
}

static void appending_goes_to_the_end_that_the_host_knows(void **state)
{
	struct guest *guest = *state;
	uint64_t node = 0, fh = 0;

	host_write(guest, "log", "one\n");
	node = guest_walk(guest, "log");
	assert_int_equal(guest_open(guest, node, O_WRONLY | O_APPEND, &fh), 0);
	host_write(guest, "log", "one\ntwo\n");
	assert_int_equal(guest_write(guest, node, fh, 4, "three\n", 6), 6);
	host_expect(guest, "log", "one\ntwo\nthree\n");
}

static void truncating_on_open_and_by_size(void **state)
{
	struct guest *guest = *state;
	struct fuse_setattr_in in = {.valid = FATTR_SIZE, .size = 3};
	uint64_t node = 0, fh = 0;

	host_write(guest, "f", "123456789");
	node = guest_walk(guest, "f");
	assert_int_equal(guest_setattr(guest, node, in), 0);
	host_expect(guest, "f", "123");
	assert_int_equal(guest_open(guest, node, O_WRONLY | O_TRUNC, &fh), 0);
	host_expect(guest, "f", "");
	in.valid |= FATTR_FH;
	in.fh = fh;
	in.size = 5;
	assert_int_equal(guest_setattr(guest, node, in), 0);
	assert_int_equal(host_stat(guest, "f").st_size, 5);
}

static void a_file_lives_on_while_it_is_open(void **state)
{
	struct guest *guest = *state;
	struct fuse_attr attributes;
	uint64_t node = 0, fh = 0;

	assert_int_equal(guest_create(guest, guest->top, "gone", O_RDWR, 0600, &node, &fh), 0);
	assert_int_equal(guest_write(guest, node, fh, 0, "still", 5), 5);
	assert_int_equal(guest_remove(guest, guest->top, "gone", false), 0);
	assert_false(host_has(guest, "gone"));
	attributes = guest_attributes(guest, node);
	assert_int_equal(attributes.nlink, 0);
	assert_int_equal(attributes.size, 5);
	assert_int_equal(guest_setattr(guest, node, (struct fuse_setattr_in){.valid = FATTR_MODE, .mode = 0640}), 0);
	assert_int_equal(guest_read(guest, node, fh, 0, 10), 5);
	assert_int_equal(guest_lookup(guest, guest->top, "gone", NULL), -ENOENT);
}

static void a_file_that_the_host_replaced_is_stale_not_the_other(void **state)
{
	struct guest *guest = *state;
	struct fuse_getattr_in in = {0};
	uint64_t old = 0, new = 0, fh = 0;

	host_write(guest, "f", "old");
	old = guest_walk(guest, "f");
	assert_int_equal(unlinkat(guest->host, "f", 0), 0);
	host_write(guest, "f", "new one");
	assert_int_equal(guest_ask(guest, FUSE_GETATTR, old, STRUCT(in), NOTHING, NOTHING), -ESTALE);
	assert_int_equal(guest_open(guest, old, O_RDONLY, &fh), -ESTALE);
	new = guest_walk(guest, "f");
	assert_true(new != old);
	assert_int_equal(guest_attributes(guest, new).size, 7);
}

static void files_without_a_name_can_be_given_one(void **state)
{
	struct guest *guest = *state;
	struct fuse_create_in in = {.flags = O_RDWR, .mode = S_IFREG | 0644};
	const char *answer = guest->out + sizeof(struct fuse_out_header);
	uint64_t node = 0, fh = 0;

	assert_int_equal(guest_ask(guest, FUSE_TMPFILE, guest->top, STRUCT(in), NAME("/"), NOTHING), 0);
	node = ANSWER(guest, struct fuse_entry_out)->nodeid;
	fh = ((const struct fuse_open_out *)(const void *)(answer + sizeof(struct fuse_entry_out)))->fh;
	assert_int_equal(guest_write(guest, node, fh, 0, "x", 1), 1);
	assert_int_equal(guest_attributes(guest, node).nlink, 0);
	assert_int_equal(guest_link(guest, node, guest->top, "named"), 0);
	host_expect(guest, "named", "x");
	assert_int_equal(guest_attributes(guest, node).nlink, 1);
}

static void holes_ranges_and_copies(void **state)
{
	struct guest *guest = *state;
	struct fuse_fallocate_in allocate = {.offset = 0, .length = 1 << 20};
	struct fuse_lseek_in seek = {.whence = SEEK_HOLE};
	struct fuse_copy_file_range_in copy = {.len = 4};
	uint64_t node = 0, fh = 0, to = 0, to_fh = 0;

	assert_int_equal(guest_create(guest, guest->top, "h", O_RDWR, 0644, &node, &fh), 0);
	allocate.fh = seek.fh = copy.fh_in = fh;
	assert_int_equal(guest_ask(guest, FUSE_FALLOCATE, node, STRUCT(allocate), NOTHING, NOTHING), 0);
	assert_int_equal(host_stat(guest, "h").st_size, 1 << 20);
	assert_int_equal(guest_write(guest, node, fh, 0, "data", 4), 4);
	assert_int_equal(guest_ask(guest, FUSE_LSEEK, node, STRUCT(seek), NOTHING, NOTHING), 0);
	assert_true(ANSWER(guest, struct fuse_lseek_out)->offset > 0);
	seek.offset = 1 << 20;
	assert_int_equal(guest_ask(guest, FUSE_LSEEK, node, STRUCT(seek), NOTHING, NOTHING), -ENXIO);
	assert_int_equal(guest_create(guest, guest->top, "c", O_RDWR, 0644, &to, &to_fh), 0);
	copy.nodeid_out = to;
	copy.fh_out = to_fh;
	assert_int_equal(guest_ask(guest, FUSE_COPY_FILE_RANGE, node, STRUCT(copy), NOTHING, NOTHING), 0);
	assert_int_equal(ANSWER(guest, struct fuse_write_out)->size, 4);
	host_expect(guest, "c", "data");
}

static int lock_file(struct guest *guest, uint32_t code, uint64_t node, uint64_t fh, uint64_t owner, uint32_t type,
		     uint32_t flags)
{
	struct fuse_lk_in in = {.fh = fh,
				.owner = owner,
				.lk = {.start = 0, .end = INT64_MAX, .type = type, .pid = 100 + (uint32_t)owner},
				.lk_flags = flags};

	return guest_ask(guest, code, node, STRUCT(in), NOTHING, NOTHING);
}

static void locks_hold_among_owners_and_against_the_host(void **state)
{
	struct guest *guest = *state;
	struct fuse_interrupt_in interrupt;
	struct fuse_flush_in flush = {.lock_owner = 1};
	uint64_t node = 0, fh = 0;
	int host;

	assert_int_equal(guest_create(guest, guest->top, "l", O_RDWR, 0644, &node, &fh), 0);
	flush.fh = fh;
	assert_int_equal(lock_file(guest, FUSE_SETLK, node, fh, 1, F_WRLCK, 0), 0);
	assert_int_equal(lock_file(guest, FUSE_SETLK, node, fh, 2, F_RDLCK, 0), -EAGAIN);
	assert_true(guest->result > 0);
	assert_int_equal(lock_file(guest, FUSE_GETLK, node, fh, 2, F_RDLCK, 0), 0);
	assert_int_equal(ANSWER(guest, struct fuse_lk_out)->lk.type, F_WRLCK);
	assert_int_equal(ANSWER(guest, struct fuse_lk_out)->lk.pid, 101);
	/* One that waits is not answered; until it is interrupted. */
	assert_int_equal(lock_file(guest, FUSE_SETLKW, node, fh, 2, F_RDLCK, 0), -EAGAIN);
	assert_int_equal(guest->result, -EAGAIN);
	guest->now = true;
	assert_int_equal(lock_file(guest, FUSE_SETLKW, node, fh, 2, F_RDLCK, 0), -ENOLCK);
	guest->now = false;
	interrupt.unique = guest->unique + 2;
	guest_ask(guest, FUSE_INTERRUPT, 0, STRUCT(interrupt), NOTHING, NOTHING);
	assert_int_equal(lock_file(guest, FUSE_SETLKW, node, fh, 2, F_RDLCK, 0), -EINTR);
	assert_int_equal(guest_ask(guest, FUSE_FLUSH, node, STRUCT(flush), NOTHING, NOTHING), 0);
	assert_int_equal(lock_file(guest, FUSE_SETLKW, node, fh, 2, F_RDLCK, 0), 0);
	host = openat(guest->host, "l", O_RDWR | O_CLOEXEC);
	assert_int_equal(fcntl(host, F_OFD_SETLK, &(struct flock){.l_type = F_WRLCK}), -1);
	assert_int_equal(flock(host, LOCK_EX | LOCK_NB), 0);
	assert_int_equal(lock_file(guest, FUSE_SETLK, node, fh, 1, F_RDLCK, FUSE_LK_FLOCK), -EAGAIN);
	close(host);
	assert_int_equal(lock_file(guest, FUSE_SETLK, node, fh, 1, F_WRLCK, FUSE_LK_FLOCK), 0);
	guest_release(guest, node, fh);
}

static void locks_of_an_open_file_end_with_it(void **state)
{
	struct guest *guest = *state;
	struct fuse_flush_in flush = {.lock_owner = 1};
	uint64_t node = 0, fh = 0, other = 0;

	assert_int_equal(guest_create(guest, guest->top, "l", O_RDWR, 0644, &node, &fh), 0);
	assert_int_equal(guest_open(guest, node, O_RDWR, &other), 0);
	assert_int_equal(lock_file(guest, FUSE_SETLK, node, fh, 77, F_WRLCK, 0), 0);
	assert_int_equal(lock_file(guest, FUSE_SETLK, node, other, 78, F_WRLCK, 0), -EAGAIN);
	flush.fh = fh; /* by the process, which is another owner */
	assert_int_equal(guest_ask(guest, FUSE_FLUSH, node, STRUCT(flush), NOTHING, NOTHING), 0);
	assert_int_equal(lock_file(guest, FUSE_SETLK, node, other, 78, F_WRLCK, 0), -EAGAIN);
	guest_release(guest, node, fh);
	assert_int_equal(lock_file(guest, FUSE_SETLK, node, other, 78, F_WRLCK, 0), 0);
	guest_release(guest, node, other);
}

static void who_reads_may_truncate(void **state)
{
	struct guest *guest = *state;
	uint64_t node = 0, fh = 0;

	host_write(guest, "f", "12345");
	node = guest_walk(guest, "f");
	assert_int_equal(guest_open(guest, node, O_RDONLY | O_TRUNC, &fh), 0);
	assert_int_equal(guest_read(guest, node, fh, 0, 10), 0);
	host_expect(guest, "f", "");
	guest_release(guest, node, fh);
}

static void times_are_set_as_asked(void **state)
{
	struct guest *guest = *state;
	struct fuse_setattr_in in = {.valid = FATTR_MTIME | FATTR_ATIME, .mtime = 1000, .mtimensec = 5, .atime = 2000};
	uint64_t node = 0;

	assert_int_equal(symlinkat("nowhere", guest->host, "link"), 0);
	host_write(guest, "f", "");
	for (int i = 0; i < 2; i++) {
		const char *name = i ? "link" : "f";

		node = guest_walk(guest, name);
		assert_int_equal(guest_setattr(guest, node, in), 0);
		assert_int_equal(host_stat(guest, name).st_mtim.tv_sec, 1000);
		assert_int_equal(host_stat(guest, name).st_mtim.tv_nsec, 5);
		assert_int_equal(host_stat(guest, name).st_atim.tv_sec, 2000);
	}
}

static void syncing_statfs_and_flags(void **state)
{
	struct guest *guest = *state;
	struct fuse_fsync_in sync = {0};
	struct fuse_syncfs_in all = {0};
	struct fuse_ioctl_in control = {.cmd = 0x5401, .out_size = 36};
	uint64_t node = 0, fh = 0;

	assert_int_equal(guest_create(guest, guest->top, "s", O_RDWR, 0644, &node, &fh), 0);
	sync.fh = control.fh = fh;
	assert_int_equal(guest_ask(guest, FUSE_FSYNC, node, STRUCT(sync), NOTHING, NOTHING), 0);
	sync.fsync_flags = FUSE_FSYNC_FDATASYNC;
	assert_int_equal(guest_ask(guest, FUSE_FSYNC, node, STRUCT(sync), NOTHING, NOTHING), 0);
	assert_int_equal(guest_ask(guest, FUSE_SYNCFS, FUSE_ROOT_ID, STRUCT(all), NOTHING, NOTHING), 0);
	assert_int_equal(guest_ask(guest, FUSE_IOCTL, node, STRUCT(control), NOTHING, NOTHING), -ENOTTY);
	assert_int_equal(guest_ask(guest, FUSE_STATFS, node, NOTHING, NOTHING, NOTHING), 0);
	assert_true(ANSWER(guest, struct fuse_statfs_out)->st.blocks > 0);
	assert_int_equal(guest_ask(guest, FUSE_STATFS, FUSE_ROOT_ID, NOTHING, NOTHING, NOTHING), 0);
}

static void root_in_the_guest_writes_what_a_mode_closes(void **state)
{
	struct guest *guest = *state;
	uint64_t node = 0, fh = 0;

	host_write(guest, "closed", "x");
	assert_int_equal(fchmodat(guest->host, "closed", 0400, 0), 0);
	node = guest_walk(guest, "closed");
	if (geteuid() != 0)
		assert_int_equal(guest_open(guest, node, O_RDWR, &fh), -EACCES);
	guest->uid = 0;
	assert_int_equal(guest_open(guest, node, O_RDWR, &fh), 0);
	assert_int_equal(host_stat(guest, "closed").st_mode, S_IFREG | 0400);
}

static uint32_t cache_flags(struct guest *guest, uint64_t node)
{
	uint64_t fh = 0;
	uint32_t flags;

	assert_int_equal(guest_open(guest, node, O_RDONLY, &fh), 0);
	flags = ANSWER(guest, struct fuse_open_out)->open_flags;
	guest_release(guest, node, fh);
	return flags;
}

/* As if that had been some seconds ago. */
static void host_write_before(struct guest *guest, const char *name, const char *text, int seconds)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = time(NULL) - seconds}};

	host_write(guest, name, text);
	assert_int_equal(utimensat(guest->host, name, times, 0), 0);
}

static void what_the_guest_has_cached_is_kept_while_it_is_right(void **state)
{
	static const struct share_options shares[] = {{.name = "none", .cache = SHARE_CACHE_NONE},
						      {.name = "always", .cache = SHARE_CACHE_ALWAYS}};
	struct guest *guest = *state;
	uint64_t node = 0, top = 0;

	host_write_before(guest, "f", "one", 1000);
	node = guest_walk(guest, "f");
	cache_flags(guest, node);
	assert_int_equal(cache_flags(guest, node), FOPEN_KEEP_CACHE);
	host_write_before(guest, "f", "another", 500);
	assert_int_equal(cache_flags(guest, node), 0);
	assert_int_equal(cache_flags(guest, node), FOPEN_KEEP_CACHE);
	/* What changed just now may change again, at the same time for the host's clock. */
	host_write_before(guest, "f", "another", -100);
	cache_flags(guest, node);
	assert_int_equal(cache_flags(guest, node), 0);
	assert_int_equal(guest_lookup(guest, guest->top, "f", NULL), 0);
	assert_int_equal(ANSWER(guest, struct fuse_entry_out)->attr_valid, 1);
	for (size_t i = 0; i < COUNT_OF(shares); i++) {
		assert_int_equal(guest_share(guest, guest->host, &shares[i], NULL), 0);
		assert_int_equal(guest_lookup(guest, FUSE_ROOT_ID, shares[i].name, &top), 0);
		assert_int_equal(guest_lookup(guest, top, "f", &node), 0);
		assert_int_equal(ANSWER(guest, struct fuse_entry_out)->entry_valid, i ? 86400 : 0);
		cache_flags(guest, node);
		assert_int_equal(cache_flags(guest, node), i ? FOPEN_KEEP_CACHE : 0);
		assert_int_equal(guest_ask(guest, FUSE_LOOKUP, top, NOTHING, NAME("no"), NOTHING), i ? 0 : -ENOENT);
	}
}

enum { CROWD_FILES = 60, CROWD = 1500 };

/* So many open files that those from before have had to give up their descriptors. */
static void crowd(struct guest *guest, uint64_t handles[CROWD])
{
	char name[16];

	for (unsigned i = 0; i < CROWD; i++) {
		snprintf(name, sizeof(name), "crowd%u", i % CROWD_FILES);
		if (i < CROWD_FILES)
			host_write(guest, name, "1234567");
		assert_int_equal(guest_open(guest, guest_walk(guest, name), i % 2 ? O_RDWR : O_RDONLY, &handles[i]), 0);
	}
	assert_true(open_descriptors() < 600);
}

static void more_files_are_open_than_there_are_descriptors(void **state)
{
	struct guest *guest = *state;
	uint64_t handles[CROWD], node = 0;
	char name[16];

	if (guest->confined)
		return;
	crowd(guest, handles);
	for (unsigned i = 0; i < CROWD; i++) {
		snprintf(name, sizeof(name), "crowd%u", i % CROWD_FILES);
		node = guest_walk(guest, name);
		assert_int_equal(guest_write(guest, node, handles[i], 0, name + 5, 1), i % 2 ? 1 : -EBADF);
		assert_int_equal(guest_read(guest, node, handles[i], 0, 100), 7);
		assert_memory_equal(guest->out + sizeof(struct fuse_out_header), i % 2 ? name + 5 : "", i % 2);
	}
	assert_true(open_descriptors() < 600);
	for (unsigned i = 0; i < CROWD; i++) {
		snprintf(name, sizeof(name), "crowd%u", i % CROWD_FILES);
		guest_release(guest, guest_walk(guest, name), handles[i]);
	}
}

/* Whatever has become of it meanwhile, by the guest. */
static void an_open_file_without_a_descriptor_is_still_the_same(void **state)
{
	struct guest *guest = *state;
	uint64_t gone = 0, moved = 0, closed = 0, added = 0, fh[4] = {0}, handles[CROWD];
	struct fuse_setattr_in size = {.valid = FATTR_SIZE | FATTR_FH, .size = 2};

	if (guest->confined)
		return;
	assert_int_equal(guest_create(guest, guest->top, "gone", O_RDWR, 0600, &gone, &fh[0]), 0);
	assert_int_equal(guest_create(guest, guest->top, "moved", O_RDWR, 0600, &moved, &fh[1]), 0);
	assert_int_equal(guest_create(guest, guest->top, "closed", O_RDWR, 0600, &closed, &fh[2]), 0);
	host_write(guest, "added", "abc");
	added = guest_walk(guest, "added");
	assert_int_equal(guest_open(guest, added, O_WRONLY | O_APPEND, &fh[3]), 0);
	assert_int_equal(guest_write(guest, gone, fh[0], 0, "gone", 4), 4);
	crowd(guest, handles);
	assert_int_equal(guest_remove(guest, guest->top, "gone", false), 0);
	host_write(guest, "gone", "another");
	assert_int_equal(guest_rename(guest, guest->top, "moved", guest->top, "there", 0), 0);
	assert_int_equal(guest_setattr(guest, closed, (struct fuse_setattr_in){.valid = FATTR_MODE, .mode = 0}), 0);
	assert_int_equal(guest_read(guest, gone, fh[0], 0, 10), 4);
	assert_int_equal(guest_write(guest, gone, fh[0], 0, "GONE", 4), 4);
	assert_int_equal(guest_write(guest, moved, fh[1], 0, "there", 5), 5);
	assert_int_equal(guest_write(guest, closed, fh[2], 0, "closed", 6), 6);
	assert_int_equal(guest_write(guest, added, fh[3], 0, "def", 3), 3);
	host_expect(guest, "gone", "another");
	host_expect(guest, "there", "there");
	host_expect(guest, "added", "abcdef");
	assert_int_equal(host_stat(guest, "closed").st_size, 6);
	assert_int_equal(host_stat(guest, "closed").st_mode & 07777, 0);
	assert_int_equal(guest_setattr(guest, gone, (size.fh = fh[0], size)), 0);
	assert_int_equal(guest_read(guest, gone, fh[0], 0, 10), 2);
}

/* It may still be held by its inode. */
static void an_open_file_without_a_descriptor_is_never_what_the_host_put_there(void **state)
{
	struct guest *guest = *state;
	uint64_t node = 0, fh = 0, handles[CROWD];
	int result;

	if (guest->confined)
		return;
	host_write(guest, "f", "first");
	node = guest_walk(guest, "f");
	assert_int_equal(guest_open(guest, node, O_RDWR, &fh), 0);
	crowd(guest, handles);
	assert_int_equal(guest_read(guest, node, fh, 0, 10), 5);
	crowd(guest, handles);
	assert_int_equal(unlinkat(guest->host, "f", 0), 0);
	host_write(guest, "f", "another");
	result = guest_read(guest, node, fh, 0, 10);
	assert_true(result == 5 || result == -ESTALE);
	assert_int_equal(guest_write(guest, node, fh, 0, "x", 1), result == 5 ? 1 : -ESTALE);
	host_expect(guest, "f", "another");
	guest_release(guest, node, fh);
}

static void locks_and_folders_keep_their_descriptors(void **state)
{
	struct guest *guest = *state;
	uint64_t node = 0, fh = 0, folder = 0, handles[CROWD];
	char names[4096] = "";
	int fd;

	if (guest->confined)
		return;
	host_write(guest, "f", "");
	node = guest_walk(guest, "f");
	fd = openat(guest->host, "f", O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(guest_open(guest, node, O_RDWR, &fh), 0);
	assert_int_equal(guest_open_folder(guest, guest->top, &folder), 0);
	assert_int_equal(lock_file(guest, FUSE_SETLK, node, fh, 1, F_WRLCK, FUSE_LK_FLOCK), 0);
	crowd(guest, handles);
	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), -1);
	assert_int_equal(lock_file(guest, FUSE_SETLK, node, fh, 1, F_UNLCK, FUSE_LK_FLOCK), 0);
	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
	crowd(guest, handles);
	assert_int_equal(lock_file(guest, FUSE_SETLK, node, fh, 1, F_WRLCK, FUSE_LK_FLOCK), -EAGAIN);
	guest_list(guest, guest->top, folder, 0, 4096, false, names);
	assert_non_null(strstr(names, "crowd"));
	assert_int_equal(guest_unshare(guest, "files"), 0);
	assert_int_equal(guest_read(guest, node, fh, 0, 1), -ESTALE);
	close(fd);
}

static int set_up_writeback(void **state)
{
	static const struct share_options plain = {.name = "files"};
	struct fuse_options options = {.guest_uid = GUEST_USER, .guest_gid = GUEST_USER, .writeback = true};
	struct guest *guest = guest_new(false, NULL);

	*state = guest;
	if (guest->confined)
		return 0; /* annex-share does not offer it */
	fuse_free(guest->server);
	assert_int_equal(fuse_new(&guest->server, &options, NULL), 0);
	assert_int_equal(guest_share(guest, guest->host, &plain, NULL), 0);
	guest_init(guest);
	return 0;
}

static void a_cache_that_writes_back_may_read_and_places_what_is_appended(void **state)
{
	struct guest *guest = *state;
	uint64_t node = 0, fh = 0;

	if (guest->confined)
		return;
	host_write(guest, "f", "12345");
	node = guest_walk(guest, "f");
	assert_int_equal(guest_open(guest, node, O_WRONLY | O_APPEND, &fh), 0);
	assert_int_equal(guest_read(guest, node, fh, 0, 10), 5);
	assert_int_equal(guest_write(guest, node, fh, 1, "x", 1), 1);
	host_expect(guest, "f", "1x345");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		AS_BOTH(what_is_written_is_read_on_both_sides),
		AS_BOTH(large_contents_cross_many_parts),
		AS_BOTH(appending_goes_to_the_end_that_the_host_knows),
		AS_BOTH(truncating_on_open_and_by_size),
		AS_BOTH(a_file_lives_on_while_it_is_open),
		AS_BOTH(a_file_that_the_host_replaced_is_stale_not_the_other),
		AS_BOTH(files_without_a_name_can_be_given_one),
		AS_BOTH(holes_ranges_and_copies),
		AS_BOTH(locks_hold_among_owners_and_against_the_host),
		AS_BOTH(locks_of_an_open_file_end_with_it),
		AS_BOTH(who_reads_may_truncate),
		AS_BOTH(times_are_set_as_asked),
		AS_BOTH(syncing_statfs_and_flags),
		AS_BOTH(what_the_guest_has_cached_is_kept_while_it_is_right),
		AS_BOTH(more_files_are_open_than_there_are_descriptors),
		AS_BOTH(an_open_file_without_a_descriptor_is_still_the_same),
		AS_BOTH(an_open_file_without_a_descriptor_is_never_what_the_host_put_there),
		AS_BOTH(locks_and_folders_keep_their_descriptors),
		cmocka_unit_test_setup_teardown(a_cache_that_writes_back_may_read_and_places_what_is_appended,
						set_up_writeback, guest_tear_down),
		AS_BOTH(root_in_the_guest_writes_what_a_mode_closes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
