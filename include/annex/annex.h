#ifndef ANNEX_ANNEX_H
#define ANNEX_ANNEX_H

/* All of libannex: persistent Linux machines from OCI images. */
#include <annex/context.h>
#include <annex/doctor.h>
#include <annex/error.h>
#include <annex/image.h>
#include <annex/kernel.h>
#include <annex/machine.h>
#include <annex/network.h>
#include <annex/port.h>
#include <annex/progress.h>
#include <annex/registry.h>
#include <annex/session.h>
#include <annex/stats.h>
#include <annex/usage.h>
#include <annex/vm.h>

#endif
