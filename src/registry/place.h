#pragma once
#include "base/error.h"

/*
 * Where Docker and the tools of the containers project keep what they share with us. *ret is the path of `name` there,
 * which the caller frees. -ENOENT: there is no such place (no home, no run time folder); -ENOMEM.
 */
MUST_USE int place_config(char **ret, const char *name);  /* $XDG_CONFIG_HOME, else ~/.config */
MUST_USE int place_runtime(char **ret, const char *name); /* $XDG_RUNTIME_DIR, else /run/containers/UID */
MUST_USE int place_docker(char **ret, const char *name);  /* $DOCKER_CONFIG, else ~/.docker */
