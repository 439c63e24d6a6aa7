#include "fuse-guest.h"

#include <dirent.h>
#include <linux/fs.h>

/*
 * The same operations, chosen at random, on a share and by system calls on a folder of the host beside it: each must
 * end the same way, and in the end the folders must be twins.
 */
#define ROUNDS 3000

struct twins {
	struct guest *guest;
	int share, twin; /* the folders on the host */
	uint64_t top;
	unsigned random;
};

/* Where an operation works: a folder, on all sides. */
struct place {
	uint64_t node;
	int fd; /* of the twin */
};

static unsigned next(struct twins *twins, unsigned below)
{
	twins->random = twins->random * 1103515245u + 12345u;
	return (twins->random >> 16) % below;
}

static const char *a_name(struct twins *twins)
{
	static const char *const names[] = {"a", "b", "c", "d", "e"};

	return names[next(twins, COUNT_OF(names))];
}

static int result_of(int result)
{
	return result < 0 ? -errno : 0;
}

/* The top folder, or one below it if there is one of that name, on both sides or on none. */
static struct place a_place(struct twins *twins)
{
	struct place place = {.node = twins->top, .fd = fcntl(twins->twin, F_DUPFD_CLOEXEC, 0)};
	const char *name = a_name(twins);
	uint64_t node = 0;
	int error, fd;

	if (next(twins, 2))
		return place;
	error = guest_lookup(twins->guest, twins->top, name, &node);
	if (error == 0 && !S_ISDIR(ANSWER(twins->guest, struct fuse_entry_out)->attr.mode))
		error = -ENOTDIR;
	fd = openat(twins->twin, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	assert_int_equal(error, result_of(fd));
	if (fd < 0)
		return place;
	close(place.fd);
	return (struct place){node, fd};
}

static void make_and_remove(struct twins *twins, const struct place *place, const char *name)
{
	struct guest *guest = twins->guest;

	switch (next(twins, 4)) {
	case 0:
		assert_int_equal(guest_mkdir(guest, place->node, name, 0755, NULL),
				 result_of(mkdirat(place->fd, name, 0755)));
		break;
	case 1:
		assert_int_equal(guest_ask(guest, FUSE_SYMLINK, place->node, NOTHING, NAME(name), NAME("a")),
				 result_of(symlinkat("a", place->fd, name)));
		break;
	case 2:
		assert_int_equal(guest_remove(guest, place->node, name, false),
				 result_of(unlinkat(place->fd, name, 0)));
		break;
	default:
		assert_int_equal(guest_remove(guest, place->node, name, true),
				 result_of(unlinkat(place->fd, name, AT_REMOVEDIR)));
		break;
	}
}

static void move(struct twins *twins, const struct place *place, const char *name)
{
	static const unsigned flags[] = {0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE};
	struct place to = a_place(twins);
	const char *new_name = a_name(twins);
	unsigned flag = flags[next(twins, COUNT_OF(flags))];

	assert_int_equal(guest_rename(twins->guest, place->node, name, to.node, new_name, flag),
			 result_of(renameat2(place->fd, name, to.fd, new_name, flag)));
	close(to.fd);
}

static void link_again(struct twins *twins, const struct place *place, const char *name)
{
	struct place to = a_place(twins);
	const char *new_name = a_name(twins);
	uint64_t node = 0;
	int error = guest_lookup(twins->guest, place->node, name, &node);

	if (error == 0)
		error = guest_link(twins->guest, node, to.node, new_name);
	assert_int_equal(error, result_of(linkat(place->fd, name, to.fd, new_name, 0)));
	close(to.fd);
}

static void use_contents(struct twins *twins, const struct place *place, const char *name)
{
	struct guest *guest = twins->guest;
	unsigned offset = next(twins, 5000), size = 1 + next(twins, 3000);
	uint32_t flags = O_RDWR | (next(twins, 4) ? 0 : O_EXCL) | (next(twins, 4) ? 0 : O_TRUNC);
	uint64_t node = 0, fh = 0;
	char bytes[3000], read[8000];
	int fd = openat(place->fd, name, (int)flags | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644), error = result_of(fd);

	/* Links are the guest's kernel's to follow. */
	if (error == -ELOOP)
		error = -ENXIO;
	assert_int_equal(guest_create(guest, place->node, name, flags, 0644, &node, &fh), error);
	if (fd < 0)
		return;
	memset(bytes, (int)('0' + size % 64), sizeof(bytes));
	assert_int_equal(guest_write(guest, node, fh, offset, bytes, size), pwrite(fd, bytes, size, offset));
	offset = next(twins, 6000);
	assert_int_equal(guest_read(guest, node, fh, offset, sizeof(read)), pread(fd, read, sizeof(read), offset));
	assert_memory_equal(ANSWER(guest, char), read, guest->size);
	if (next(twins, 3) == 0) {
		assert_int_equal(
			guest_setattr(guest, node, (struct fuse_setattr_in){.valid = FATTR_SIZE, .size = offset}),
			result_of(ftruncate(fd, offset)));
	}
	guest_release(guest, node, fh);
	close(fd);
}

static void change_mode(struct twins *twins, const struct place *place, const char *name)
{
	struct guest *guest = twins->guest;
	mode_t mode = (mode_t)next(twins, 01000) | 0600;
	uint64_t node = 0;
	struct stat st;
	int error = guest_lookup(guest, place->node, name, &node);

	if (fstatat(place->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		assert_int_equal(error, -errno);
		return;
	}
	if (S_ISLNK(st.st_mode))
		return;
	mode |= S_ISDIR(st.st_mode) ? 0700 : 0;
	assert_int_equal(guest_setattr(guest, node, (struct fuse_setattr_in){.valid = FATTR_MODE, .mode = mode}),
			 result_of(fchmodat(place->fd, name, mode, 0)));
}

static void one_round(struct twins *twins)
{
	struct place place = a_place(twins);
	const char *name = a_name(twins);

	switch (next(twins, 6)) {
	case 0:
	case 1:
		make_and_remove(twins, &place, name);
		break;
	case 2:
		move(twins, &place, name);
		break;
	case 3:
		link_again(twins, &place, name);
		break;
	case 4:
		use_contents(twins, &place, name);
		break;
	default:
		change_mode(twins, &place, name);
		break;
	}
	close(place.fd);
}

static void expect_same_contents(int a, int b, const char *name, size_t size)
{
	char *first = NULL, *second = NULL;
	size_t read;

	assert_int_equal(file_read(&first, &read, a, name, 1 << 20), 0);
	assert_int_equal(read, size);
	assert_int_equal(file_read(&second, &read, b, name, 1 << 20), 0);
	assert_int_equal(read, size);
	assert_memory_equal(first, second, size);
	free(first);
	free(second);
}

/* `seen`: what the guest says of the same. */
static unsigned expect_twins(struct twins *twins, int a, int b, uint64_t node)
{
	DIR *folder = fdopendir(openat(b, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	struct dirent *entry;
	unsigned count = 0;

	assert_non_null(folder);
	while ((entry = readdir(folder))) {
		struct stat first, second;
		struct fuse_attr seen;
		uint64_t child = 0;

		if (entry->d_name[0] == '.')
			continue;
		count++;
		assert_int_equal(fstatat(a, entry->d_name, &first, AT_SYMLINK_NOFOLLOW), 0);
		assert_int_equal(fstatat(b, entry->d_name, &second, AT_SYMLINK_NOFOLLOW), 0);
		assert_int_equal(guest_lookup(twins->guest, node, entry->d_name, &child), 0);
		seen = guest_attributes(twins->guest, child);
		assert_int_equal(first.st_mode, second.st_mode);
		assert_int_equal(first.st_nlink, second.st_nlink);
		assert_int_equal(seen.mode, second.st_mode);
		assert_int_equal(seen.nlink, second.st_nlink);
		if (S_ISREG(second.st_mode)) {
			assert_int_equal(seen.size, second.st_size);
			expect_same_contents(a, b, entry->d_name, (size_t)second.st_size);
		}
		if (S_ISDIR(second.st_mode)) {
			int below_a = openat(a, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
			int below_b = openat(b, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

			expect_twins(twins, below_a, below_b, child);
			close(below_a);
			close(below_b);
		}
	}
	closedir(folder);
	return count;
}

static void a_share_behaves_as_its_twin_on_the_host(void **state)
{
	struct guest *guest = *state;
	struct twins twins = {.guest = guest, .random = 4};
	mode_t mask = umask(022);

	assert_int_equal(mkdirat(guest->host, "share", 0755), 0);
	assert_int_equal(mkdirat(guest->host, "twin", 0755), 0);
	twins.share = openat(guest->host, "share", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	twins.twin = openat(guest->host, "twin", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	twins.top = guest_walk(guest, "share");
	for (int i = 0; i < ROUNDS; i++) {
		umask(022);
		one_round(&twins);
		if (i % 300 == 299)
			expect_twins(&twins, twins.share, twins.twin, twins.top);
	}
	assert_true(expect_twins(&twins, twins.share, twins.twin, twins.top) > 0);
	umask(mask);
	close(twins.share);
	close(twins.twin);
}

int main(void)
{
	const struct CMUnitTest tests[] = {AS_BOTH(a_share_behaves_as_its_twin_on_the_host)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
