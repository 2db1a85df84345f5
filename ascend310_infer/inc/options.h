// The command line.
#pragma once
#include <string>

#include "engine.h"
#include "pipeline.h"

namespace seg {

struct Options {
  EngineOptions engine;
  PipelineOptions pipeline;
  std::string dataset_path;
  std::string result_path = ".";
  int warmup = 1;
  int loop = 0;
  bool help = false;
};

// `--name value`, `--name=value` and, for a switch, `--name`. Throws UserError with the flag's name.
Options ParseOptions(int argc, const char* const* argv);

const char* Usage();

}  // namespace seg
