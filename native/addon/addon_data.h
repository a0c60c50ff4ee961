#pragma once

#include <napi.h>

namespace phi2 {

/// State of one environment: worker threads load the addon again, so there are no globals.
struct AddonData {
  Napi::FunctionReference engine_class;
};

}  // namespace phi2
