/*
 * What follows each other on the donor and gets places that follow each other is one range, since layers are written in
 * long runs. Ranges are shared where the host's file system can do that (XFS, btrfs), else copied in the kernel, else
 * by hand; what does not work once is not tried again.
 */
#include "rootfs/copy.h"

#include "rootfs/contents.h"
#include "rootfs/index.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

enum {
	STEP_BLOCKS = 256, /* between two looks at the stop, and what the host is told to write to its disk at once */
	SHARE_BLOCKS = 16384, /* the same where nothing is moved */
	CHUNK = 1 << 18
};

enum way { WAY_SHARE, WAY_KERNEL, WAY_BY_HAND };

struct copy {
	const struct rootfs_layer *layer;
	const struct stop *stop;
	struct blocks_writer *blocks; /* only takes */
	struct index_writer *index;
	int disk;
	enum way way;
	uint64_t from, to, count; /* the range that was not copied yet */
	char *chunk;
};

/* The ways return how many bytes they moved, 0 at the donor's end, or -errno. */
static ssize_t share(struct copy *copy, off_t from, off_t to, size_t size)
{
	struct file_clone_range range = {.src_fd = copy->layer->donor_disk,
					 .src_offset = (uint64_t)from,
					 .src_length = size,
					 .dest_offset = (uint64_t)to};

	return ioctl(copy->disk, FICLONERANGE, &range) < 0 ? -errno : (ssize_t)size;
}

static ssize_t copy_in_kernel(struct copy *copy, off_t from, off_t to, size_t size)
{
	ssize_t n = copy_file_range(copy->layer->donor_disk, &from, copy->disk, &to, size, 0);

	return n < 0 ? -errno : n;
}

static ssize_t copy_by_hand(struct copy *copy, off_t from, off_t to, size_t size)
{
	ssize_t got, n;

	if (!copy->chunk && !(copy->chunk = malloc(CHUNK)))
		return -ENOMEM;
	got = pread(copy->layer->donor_disk, copy->chunk, size < CHUNK ? size : CHUNK, from);
	if (got <= 0)
		return got < 0 ? -errno : 0;
	n = pwrite(copy->disk, copy->chunk, (size_t)got, to);
	return n < 0 ? -errno : n;
}

static bool is_no_way(ssize_t result)
{
	static const int reasons[] = {EOPNOTSUPP, ENOTTY, EXDEV, EINVAL, EPERM, ENOSYS, EACCES};

	for (size_t i = 0; i < COUNT_OF(reasons); i++) {
		if (result == -reasons[i])
			return true;
	}
	return false;
}

static int move_range(struct copy *copy, off_t from, off_t to, size_t size, struct annex_error **err)
{
	static ssize_t (*const ways[])(struct copy *, off_t, off_t, size_t) = {
		[WAY_SHARE] = share, [WAY_KERNEL] = copy_in_kernel, [WAY_BY_HAND] = copy_by_hand};

	while (size > 0) {
		ssize_t n = ways[copy->way](copy, from, to, size);

		if (n == -EINTR)
			continue;
		if (copy->way != WAY_BY_HAND && is_no_way(n)) {
			copy->way++;
			continue;
		}
		if (n == 0)
			return fail_relayed(err, ANNEX_ERROR_CORRUPT, ROOTFS_DAMAGED,
					    "the disk to copy it from is damaged: it ends too early", NULL);
		if (n < 0)
			return fail_os(err, (int)n, "cannot copy to the disk image");
		from += n;
		to += n;
		size -= (size_t)n;
	}
	return 0;
}

static int flush(struct copy *copy, struct annex_error **err)
{
	uint64_t done = 0;

	while (done < copy->count) {
		uint64_t left = copy->count - done, most = copy->way == WAY_SHARE ? SHARE_BLOCKS : STEP_BLOCKS;
		uint64_t step = left < most ? left : most;
		off_t from = (off_t)((copy->from + done) * BLOCKS_SIZE), to = (off_t)((copy->to + done) * BLOCKS_SIZE);

		if (stop_is_raised(copy->stop))
			return fail(err, ANNEX_ERROR_CANCELLED, "cancelled");
		if (move_range(copy, from, to, (size_t)step * BLOCKS_SIZE, err) < 0)
			return -1;
		if (copy->way != WAY_SHARE) /* a hint */
			sync_file_range(copy->disk, to, (off_t)step * BLOCKS_SIZE, SYNC_FILE_RANGE_WRITE);
		done += step;
	}
	copy->count = 0;
	return 0;
}

static int copy_extent(struct copy *copy, struct blocks_extent extent, struct annex_error **err)
{
	while (extent.count > 0) {
		struct blocks_extent made = {.logical = extent.logical};
		int result = blocks_take(copy->blocks, extent.count, &made.physical, &made.count);

		if (result < 0)
			return contents_fail(result, err);
		if ((copy->from + copy->count != extent.physical || copy->to + copy->count != made.physical) &&
		    flush(copy, err) < 0)
			return -1;
		if (copy->count == 0) {
			copy->from = extent.physical;
			copy->to = made.physical;
		}
		copy->count += made.count;
		if (index_put_extent(copy->index, &made, err) < 0)
			return -1;
		extent.logical += made.count;
		extent.physical += made.count;
		extent.count -= made.count;
	}
	return 0;
}

static int copy_all(struct copy *copy, struct index_reader *reader, struct annex_error **err)
{
	const struct blocks_extent *extent;
	const struct index_entry *entry;

	for (;;) {
		if (index_next(&entry, reader, err) < 0)
			return -1;
		if (!entry)
			return flush(copy, err);
		if (stop_is_raised(copy->stop))
			return fail(err, ANNEX_ERROR_CANCELLED, "cancelled");
		if (index_put(copy->index, entry, err) < 0)
			return -1;
		do {
			if (index_next_extent(&extent, reader, err) < 0 ||
			    (extent && copy_extent(copy, *extent, err) < 0))
				return -1;
		} while (extent);
	}
}

int copy_layer(const struct rootfs_layer *layer, struct blocks *blocks, const struct stop *stop,
	       struct annex_error **err)
{
	auto_blocks_writer struct blocks_writer *writer = NULL;
	auto_index_writer struct index_writer *index = NULL;
	auto_index_reader struct index_reader *reader = NULL;
	struct copy copy = {.layer = layer, .stop = stop, .disk = blocks_fd(blocks)};
	int result = blocks_writer_new(&writer, blocks);
	struct stat st;

	if (result < 0)
		return fail_memory(err);
	if (fstat(layer->donor_disk, &st) < 0)
		return fail_os(err, errno, "cannot read the disk to copy it from");
	if (index_writer_new(&index, layer->index, layer->diff_id, err) < 0 ||
	    index_reader_new(&reader, layer->donor_index, layer->diff_id, (uint64_t)st.st_size / BLOCKS_SIZE, err) < 0)
		return -1;
	copy.blocks = writer;
	copy.index = index;
	result = copy_all(&copy, reader, err);
	free(copy.chunk);
	return result == 0 ? index_finish(index, err) : -1;
}
