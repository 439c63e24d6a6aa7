#pragma once
/*
 * A store of images in a temporary folder of its own, for each test: store_set_up and store_tear_down go to
 * cmocka_unit_test_setup_teardown().
 */
#include "folder.h"

#include "store/store.h"

static struct store *store;

static inline int store_set_up(void **state)
{
	return folder_set_up(state) < 0 ? -1 : store_open(&store, folder, NULL);
}

static inline int store_tear_down(void **state)
{
	store_free(store);
	store = NULL;
	return folder_tear_down(state);
}
