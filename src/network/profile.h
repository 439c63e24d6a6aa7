#pragma once
#include "confine/confine.h"

/* What annex-network may do once it is confined: work with sockets, and nothing with files. */
extern const struct confine_profile network_profile;
