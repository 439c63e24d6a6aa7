#include "test.h"

#include "base/text.h"
#include "rootfs/rootfs.h"
#include "rootfs/tree.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct fixture {
	struct tree *tree;
};

static int set_up(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	*state = fixture;
	if (tree_new(&fixture->tree, NULL) < 0)
		return -1;
	tree_next_layer(fixture->tree);
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	tree_free(fixture->tree);
	free(fixture);
	return 0;
}

static struct tree_node *enter(struct tree *tree, const char *path)
{
	struct tree_node like = {.mtime = 42}, *folder = NULL;

	assert_int_equal(tree_enter(&folder, tree, path, &like, NULL), 0);
	return folder;
}

static struct tree_node *put(struct tree *tree, const char *folder, const char *name, uint32_t mode, const char *target)
{
	struct tree_node *node = NULL;

	assert_int_equal(tree_make(&node, tree, mode, NULL), 0);
	if (target)
		node->target = strdup(target);
	assert_int_equal(tree_put(tree, enter(tree, folder), name, node, NULL), 0);
	return node;
}

static struct tree_name *find(struct tree *tree, const char *folder, const char *name)
{
	struct tree_node *found = NULL;

	assert_int_equal(tree_enter(&found, tree, folder, NULL, NULL), 0);
	return found ? tree_find(found, name) : NULL;
}

static void missing_folders_are_made_on_the_way(void **state)
{
	struct tree *tree = ((struct fixture *)*state)->tree;
	struct tree_node *none = NULL;

	assert_int_equal(tree_enter(&none, tree, "a/b", NULL, NULL), 0);
	assert_null(none);
	put(tree, "a/b", "f", S_IFREG, NULL);
	assert_non_null(find(tree, "a/b", "f"));
	assert_int_equal(find(tree, "a", "b")->node->mtime, 42);
	assert_int_equal(find(tree, "a", "b")->node->mode, S_IFDIR | 0755);
	assert_int_equal(tree_name_count(tree), 3);
}

static void links_never_lead_outside(void **state)
{
	struct tree *tree = ((struct fixture *)*state)->tree;
	struct tree_node *etc = enter(tree, "etc");

	put(tree, "a", "up", S_IFLNK, "../../../../etc");
	put(tree, "a", "top", S_IFLNK, "/etc");
	put(tree, "a", "far", S_IFLNK, "top/./../etc");
	assert_ptr_equal(enter(tree, "a/up"), etc);
	assert_ptr_equal(enter(tree, "a/top"), etc);
	assert_ptr_equal(enter(tree, "a/far"), etc);
	assert_ptr_equal(enter(tree, "../.."), tree_root(tree));
}

static void links_in_a_circle_are_refused(void **state)
{
	struct tree *tree = ((struct fixture *)*state)->tree;
	auto_error struct annex_error *error = NULL;
	struct tree_node *folder = NULL;

	put(tree, "", "a", S_IFLNK, "b");
	put(tree, "", "b", S_IFLNK, "a");
	assert_int_equal(tree_enter(&folder, tree, "a", NULL, &error), -1);
	assert_int_equal(annex_error_kind(error), ANNEX_ERROR_CORRUPT);
}

static void a_replaced_folder_takes_what_is_in_it_along(void **state)
{
	struct tree *tree = ((struct fixture *)*state)->tree;

	put(tree, "d/e/f", "x", S_IFREG, NULL);
	put(tree, "", "d", S_IFREG, NULL);
	assert_int_equal(tree_name_count(tree), 1);
	assert_null(find(tree, "d/e", "f"));
}

static void a_whiteout_spares_its_own_layer(void **state)
{
	struct tree *tree = ((struct fixture *)*state)->tree;

	put(tree, "d/e", "old", S_IFREG, NULL);
	put(tree, "d", "old", S_IFREG, NULL);
	tree_next_layer(tree);
	put(tree, "d/e", "new", S_IFREG, NULL);
	tree_hide(tree, tree_root(tree), "d");
	assert_non_null(find(tree, "d/e", "new"));
	assert_null(find(tree, "d/e", "old"));
	assert_null(find(tree, "d", "old"));
	tree_next_layer(tree);
	tree_hide_all(tree, tree_root(tree));
	assert_int_equal(tree_name_count(tree), 0);
}

static void a_node_lives_as_long_as_a_name(void **state)
{
	struct tree *tree = ((struct fixture *)*state)->tree;
	struct tree_node *node = put(tree, "", "a", S_IFREG, NULL);

	assert_int_equal(tree_put(tree, tree_root(tree), "b", node, NULL), 0);
	assert_int_equal(node->names, 2);
	put(tree, "", "a", S_IFDIR, NULL);
	assert_int_equal(node->names, 1);
	assert_ptr_equal(find(tree, "", "b")->node, node);
}

static void neighbouring_extents_become_one(void **state)
{
	struct tree *tree = ((struct fixture *)*state)->tree;
	struct tree_node *node = put(tree, "", "a", S_IFREG, NULL);

	assert_int_equal(tree_add_extent(tree, node, 0, 100, 30000, NULL), 0);
	assert_int_equal(tree_add_extent(tree, node, 30000, 30100, 2768, NULL), 0);
	assert_int_equal(node->extent_count, 1);
	assert_int_equal(tree_add_extent(tree, node, 32768, 32868, 1, NULL), 0); /* ext4's longest is 32768 */
	assert_int_equal(tree_add_extent(tree, node, 32770, 32869, 1, NULL), 0); /* after a hole */
	assert_int_equal(node->extent_count, 3);
}

static void folders_have_a_greatest_depth(void **state)
{
	struct tree *tree = ((struct fixture *)*state)->tree;
	struct tree_node like = {0}, *folder = NULL;
	auto_error struct annex_error *error = NULL;
	auto_text struct text path = {0};

	for (int i = 0; i < ROOTFS_DEPTH; i++)
		text_add(&path, "d/");
	assert_int_equal(tree_enter(&folder, tree, path.data, &like, NULL), 0);
	text_add(&path, "d/");
	assert_int_equal(tree_enter(&folder, tree, path.data, &like, &error), -1);
	assert_int_equal(annex_error_kind(error), ANNEX_ERROR_CORRUPT);
}

static void whiteouts_over_many_names_again_and_again_are_refused(void **state)
{
	enum { NAMES = 10000 };
	struct tree *tree = ((struct fixture *)*state)->tree;
	struct tree_node *folder = enter(tree, "d");
	auto_error struct annex_error *error = NULL;
	char name[16];
	unsigned times = 0;

	for (int i = 0; i < NAMES; i++) {
		snprintf(name, sizeof(name), "%d", i);
		put(tree, "d", name, S_IFREG, NULL);
	}
	while (times <= NAMES && tree_enter(&folder, tree, "d", NULL, &error) == 0) {
		tree_hide_all(tree, folder);
		times++;
	}
	assert_in_range(times, 100, 3000);
	assert_int_equal(annex_error_kind(error), ANNEX_ERROR_CORRUPT);
	assert_int_equal(tree_name_count(tree), NAMES + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(missing_folders_are_made_on_the_way, set_up, tear_down),
		cmocka_unit_test_setup_teardown(links_never_lead_outside, set_up, tear_down),
		cmocka_unit_test_setup_teardown(links_in_a_circle_are_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_replaced_folder_takes_what_is_in_it_along, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_whiteout_spares_its_own_layer, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_node_lives_as_long_as_a_name, set_up, tear_down),
		cmocka_unit_test_setup_teardown(neighbouring_extents_become_one, set_up, tear_down),
		cmocka_unit_test_setup_teardown(folders_have_a_greatest_depth, set_up, tear_down),
		cmocka_unit_test_setup_teardown(whiteouts_over_many_names_again_and_again_are_refused, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
