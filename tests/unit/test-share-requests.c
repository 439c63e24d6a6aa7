#include "fuse-guest.h"

#include <stdlib.h>
#include <sys/resource.h>

#define CODES     64 /* more than there are */
#define ARGUMENTS 128

/* What may not be: whatever comes, it is answered, or refused as no FUSE. */
static void expect_sane(const struct guest *guest, ssize_t result)
{
	if (result > 0) {
		assert_true(result >= (ssize_t)sizeof(struct fuse_out_header));
		assert_true((size_t)result <= guest->room + sizeof(struct fuse_out_header));
		assert_true(guest->header.error <= 0 && guest->header.error > -512);
	} else {
		assert_true(result == 0 || result == -EPROTO || result == -EAGAIN);
	}
}

static bool starts_anew(uint32_t code)
{
	return code == FUSE_INIT || code == FUSE_DESTROY;
}

static bool is_silent(uint32_t code)
{
	return code == FUSE_FORGET || code == FUSE_BATCH_FORGET || code == FUSE_INTERRUPT;
}

static void requests_of_every_length_are_answered(void **state)
{
	static const char bytes[] = {0, 1, '/', 'a', (char)0x7f, (char)0xff};
	struct guest *guest = *state;
	char arguments[ARGUMENTS];
	uint64_t node = 0, fh = 0;

	assert_int_equal(guest_create(guest, guest->top, "f", O_RDWR, 0644, &node, &fh), 0);
	for (uint32_t code = 0; code < CODES; code++) {
		for (size_t size = 0; size <= ARGUMENTS; size++) {
			memset(arguments, bytes[size % sizeof(bytes)], size);
			guest_ask(guest, code, size % 2 ? node : guest->top, (struct bytes){arguments, size}, NOTHING,
				  NOTHING);
			expect_sane(guest, guest->result);
			if (is_silent(code))
				assert_int_equal(guest->result, 0);
			if (starts_anew(code) || is_silent(code)) {
				guest_init(guest);
				node = guest_walk(guest, "f");
			}
		}
	}
	assert_true(host_has(guest, "f"));
}

static void arguments_that_are_cut_short_are_invalid(void **state)
{
	static const struct {
		uint32_t code;
		size_t size;
	} all[] = {
		{FUSE_GETATTR, sizeof(struct fuse_getattr_in)},
		{FUSE_SETATTR, sizeof(struct fuse_setattr_in)},
		{FUSE_MKNOD, sizeof(struct fuse_mknod_in)},
		{FUSE_MKDIR, sizeof(struct fuse_mkdir_in)},
		{FUSE_RENAME, sizeof(struct fuse_rename_in)},
		{FUSE_RENAME2, sizeof(struct fuse_rename2_in)},
		{FUSE_LINK, sizeof(struct fuse_link_in)},
		{FUSE_OPEN, sizeof(struct fuse_open_in)},
		{FUSE_CREATE, sizeof(struct fuse_create_in)},
		{FUSE_READ, sizeof(struct fuse_read_in)},
		{FUSE_WRITE, sizeof(struct fuse_write_in)},
		{FUSE_RELEASE, sizeof(struct fuse_release_in)},
		{FUSE_FSYNC, sizeof(struct fuse_fsync_in)},
		{FUSE_SETXATTR, sizeof(struct fuse_setxattr_in)},
		{FUSE_GETXATTR, sizeof(struct fuse_getxattr_in)},
		{FUSE_LISTXATTR, sizeof(struct fuse_getxattr_in)},
		{FUSE_FLUSH, sizeof(struct fuse_flush_in)},
		{FUSE_OPENDIR, sizeof(struct fuse_open_in)},
		{FUSE_READDIR, sizeof(struct fuse_read_in)},
		{FUSE_READDIRPLUS, sizeof(struct fuse_read_in)},
		{FUSE_GETLK, sizeof(struct fuse_lk_in)},
		{FUSE_SETLK, sizeof(struct fuse_lk_in)},
		{FUSE_SETLKW, sizeof(struct fuse_lk_in)},
		{FUSE_FALLOCATE, sizeof(struct fuse_fallocate_in)},
		{FUSE_LSEEK, sizeof(struct fuse_lseek_in)},
		{FUSE_IOCTL, sizeof(struct fuse_ioctl_in)},
		{FUSE_INIT, 16},
		{FUSE_TMPFILE, sizeof(struct fuse_create_in)},
		{FUSE_COPY_FILE_RANGE, sizeof(struct fuse_copy_file_range_in)},
	};
	struct guest *guest = *state;
	char zeros[ARGUMENTS] = {0};

	for (size_t i = 0; i < COUNT_OF(all); i++) {
		for (size_t size = 0; size < all[i].size; size++)
			assert_int_equal(guest_ask(guest, all[i].code, guest->top, (struct bytes){zeros, size}, NOTHING,
						   NOTHING),
					 -EINVAL);
	}
}

static void names_without_an_end_are_invalid(void **state)
{
	static const uint32_t codes[] = {FUSE_LOOKUP, FUSE_UNLINK, FUSE_RMDIR, FUSE_REMOVEXATTR, FUSE_SYMLINK};
	struct guest *guest = *state;
	struct fuse_rename_in rename = {.newdir = guest->top};
	char name[5000];

	memset(name, 'x', sizeof(name));
	for (size_t i = 0; i < COUNT_OF(codes); i++) {
		assert_int_equal(guest_ask(guest, codes[i], guest->top, NOTHING, (struct bytes){name, 5}, NOTHING),
				 -EINVAL);
		assert_int_equal(guest_ask(guest, codes[i], guest->top, NOTHING, NOTHING, NOTHING), -EINVAL);
		assert_int_equal(guest_ask(guest, codes[i], guest->top, NOTHING, (struct bytes){name, 5000}, NOTHING),
				 -ENAMETOOLONG);
	}
	assert_int_equal(guest_ask(guest, FUSE_SYMLINK, guest->top, NOTHING, NAME("l"), (struct bytes){name, 5}),
			 -EINVAL);
	assert_int_equal(guest_ask(guest, FUSE_SYMLINK, guest->top, NOTHING, NAME("l"), (struct bytes){name, 5000}),
			 -ENAMETOOLONG);
	assert_int_equal(guest_ask(guest, FUSE_RENAME, guest->top, STRUCT(rename), NAME("a"), (struct bytes){name, 5}),
			 -EINVAL);
	assert_int_equal(
		guest_ask(guest, FUSE_RENAME, guest->top, STRUCT(rename), NAME("a"), (struct bytes){name, 500}),
		-ENAMETOOLONG);
}

static void headers_that_lie_are_no_fuse(void **state)
{
	struct guest *guest = *state;
	struct fuse_in_header header = {.opcode = FUSE_STATFS, .nodeid = 1};

	for (uint32_t size = 0; size < 64; size++) {
		header.len = sizeof(header);
		memcpy(guest->in, &header, sizeof(header));
		if (size != sizeof(header))
			assert_int_equal(guest_send(guest, size), -EPROTO);
	}
	header.len = UINT32_MAX;
	memcpy(guest->in, &header, sizeof(header));
	assert_int_equal(guest_send(guest, sizeof(header)), -EPROTO);
	header.len = 0;
	memcpy(guest->in, &header, sizeof(header));
	assert_int_equal(guest_send(guest, sizeof(header)), -EPROTO);
}

static void answers_stay_in_their_room(void **state)
{
	struct guest *guest = *state;
	struct fuse_read_in in = {.size = UINT32_MAX};
	uint64_t node = 0, fh = 0, folder_fh = 0;

	assert_int_equal(guest_create(guest, guest->top, "f", O_RDWR, 0644, &node, &fh), 0);
	assert_int_equal(guest_write(guest, node, fh, 0, "0123456789", 10), 10);
	assert_int_equal(guest_open_folder(guest, guest->top, &folder_fh), 0);
	for (size_t room = 0; room < 400; room++) {
		memset(guest->out, 0x55, sizeof(guest->out));
		guest->room = room;
		in.fh = fh;
		assert_int_equal(guest_ask(guest, FUSE_READ, node, STRUCT(in), NOTHING, NOTHING), 0);
		assert_int_equal(guest->size, room < 10 ? room : 10);
		assert_int_equal(guest_lookup(guest, guest->top, "f", NULL),
				 room < sizeof(struct fuse_entry_out) ? -ERANGE : 0);
		in.fh = folder_fh;
		assert_int_equal(guest_ask(guest, FUSE_READDIRPLUS, guest->top, STRUCT(in), NOTHING, NOTHING), 0);
		assert_int_equal(guest_ask(guest, FUSE_READDIR, guest->top, STRUCT(in), NOTHING, NOTHING), 0);
		for (size_t i = room + sizeof(struct fuse_out_header); i < 600; i++)
			assert_int_equal(guest->out[i], 0x55);
	}
	guest->room = GUEST_BUFFER;
}

static void an_answer_without_room_is_no_fuse(void **state)
{
	struct guest *guest = *state;
	struct fuse_in_header header = {.opcode = FUSE_STATFS, .nodeid = 1, .len = sizeof(header)};
	struct iovec in = {&header, sizeof(header)}, out = {guest->out, 15};
	struct share_request request = {.in = &in, .in_count = 1, .out = &out, .out_count = 1};

	assert_int_equal(guest_serve(guest, &request), -EPROTO);
	request.out_count = 0;
	assert_int_equal(guest_serve(guest, &request), -EPROTO);
}

static void sizes_that_are_not_there_are_invalid(void **state)
{
	struct guest *guest = *state;
	struct fuse_write_in write = {.size = 1000};
	struct fuse_setxattr_in xattr = {.size = 1u << 31};
	struct fuse_batch_forget_in batch = {.count = UINT32_MAX};
	uint64_t node = 0, fh = 0;

	assert_int_equal(guest_create(guest, guest->top, "f", O_RDWR, 0644, &node, &fh), 0);
	write.fh = fh;
	assert_int_equal(guest_ask(guest, FUSE_WRITE, node, STRUCT(write), NAME("few"), NOTHING), -EINVAL);
	write.size = 1;
	write.offset = UINT64_MAX;
	assert_int_equal(guest_ask(guest, FUSE_WRITE, node, STRUCT(write), NAME("few"), NOTHING), -EINVAL);
	assert_int_equal(guest_ask(guest, FUSE_SETXATTR, node, STRUCT(xattr), NAME("user.x"), NAME("few")), -EINVAL);
	assert_int_equal(guest_ask(guest, FUSE_BATCH_FORGET, 0, STRUCT(batch), NAME("few"), NOTHING), 0);
	/* Open files belong to their inode. */
	assert_int_equal(guest_read(guest, guest->top, fh, 0, 1), -EISDIR);
	assert_int_equal(guest_read(guest, node, fh + 1, 0, 1), -EBADF);
	assert_int_equal(guest_read(guest, 12345, fh, 0, 1), -ESTALE);
}

static void what_is_not_served_is_said(void **state)
{
	static const uint32_t codes[] = {0,  FUSE_ACCESS, FUSE_BMAP, FUSE_POLL, FUSE_NOTIFY_REPLY, FUSE_SETUPMAPPING,
					 52, 4096,        UINT32_MAX};
	struct guest *guest = *state;

	for (size_t i = 0; i < COUNT_OF(codes); i++)
		assert_int_equal(guest_ask(guest, codes[i], guest->top, NOTHING, NOTHING, NOTHING), -ENOSYS);
}

static void versions_are_agreed_on(void **state)
{
	struct guest *guest = *state;
	struct fuse_init_in in = {.major = 8, .minor = 1};
	const struct fuse_init_out *out = ANSWER(guest, struct fuse_init_out);

	assert_int_equal(guest_ask(guest, FUSE_INIT, 0, STRUCT(in), NOTHING, NOTHING), 0);
	assert_int_equal(out->major, 7);
	in = (struct fuse_init_in){.major = 7, .minor = 12};
	assert_int_equal(guest_ask(guest, FUSE_INIT, 0, STRUCT(in), NOTHING, NOTHING), -EPROTO);
	in = (struct fuse_init_in){.major = 7, .minor = 31, .flags = FUSE_MAX_PAGES | FUSE_SUBMOUNTS};
	assert_int_equal(guest_ask(guest, FUSE_INIT, 0, (struct bytes){&in, 16}, NOTHING, NOTHING), 0);
	assert_int_equal(out->flags, FUSE_MAX_PAGES);
	assert_int_equal(out->max_pages, FUSE_PAGES_LIMIT);
	assert_int_equal(out->max_write, FUSE_WRITE_LIMIT);
	in = (struct fuse_init_in){.major = 7, .minor = 38, .flags = UINT32_MAX};
	assert_int_equal(guest_ask(guest, FUSE_INIT, 0, STRUCT(in), NOTHING, NOTHING), 0);
	assert_false(out->flags & FUSE_WRITEBACK_CACHE);
	assert_true(out->flags & FUSE_HANDLE_KILLPRIV_V2);
}

static void descriptors_that_run_out_are_told_and_come_back(void **state)
{
	struct guest *guest = *state;
	struct rlimit limit, few;
	uint64_t node = 0, fh[64] = {0};
	int opened = 0, error = 0;

	if (guest->confined)
		return;
	host_write(guest, "f", "x");
	node = guest_walk(guest, "f");
	getrlimit(RLIMIT_NOFILE, &limit);
	few = (struct rlimit){40, limit.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	while (opened < 64 && (error = guest_open(guest, node, O_RDONLY, &fh[opened])) == 0)
		opened++;
	assert_int_equal(error, -EMFILE);
	assert_true(opened > 0);
	guest_release(guest, node, fh[--opened]);
	assert_int_equal(guest_open(guest, node, O_RDONLY, &fh[opened]), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		AS_BOTH(requests_of_every_length_are_answered),
		AS_USER(arguments_that_are_cut_short_are_invalid),
		AS_USER(names_without_an_end_are_invalid),
		AS_USER(headers_that_lie_are_no_fuse),
		AS_BOTH(answers_stay_in_their_room),
		AS_USER(an_answer_without_room_is_no_fuse),
		AS_USER(sizes_that_are_not_there_are_invalid),
		AS_USER(what_is_not_served_is_said),
		AS_USER(versions_are_agreed_on),
		AS_BOTH(descriptors_that_run_out_are_told_and_come_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
