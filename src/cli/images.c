#include "cli/images.h"

#include "cli/interrupt.h"

const char *images_name(const struct annex_image *image)
{
	return annex_image_name_count(image) ? annex_image_name(image, 0) : annex_image_id(image);
}

int images_each(struct cli *cli, const struct option_list *names, images_fn *fn, void *data)
{
	int first = 0;

	for (size_t i = 0; i < names->count && !interrupt_signal(); i++) {
		auto_error struct annex_error *err = NULL;

		if (fn(cli, names->words[i], data, &err) == 0)
			continue;
		fail_print(cli->progress, err);
		first = first ? first : fail_exit_status(err);
	}
	return first;
}
