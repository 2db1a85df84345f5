// Decoding, the device and writing at the same time.
#pragma once
#include <string>
#include <vector>

#include "description.h"
#include "engine.h"
#include "files.h"

namespace seg {

struct PipelineOptions {
  int workers = 2;           // threads that decode, and as many that write
  bool bins = true;          // write raw outputs, <stem>_<i>.bin
  bool labels = false;       // write <stem>.png with trainIds
  bool color = false;        // write <stem>_color.png
  int label_width = 0, label_height = 0;  // 0: the image's own size
};

// Milliseconds per image of each stage, and of the whole.
struct Times {
  std::vector<double> decode, prepare, device, write;
  double total = 0;

  size_t images() const { return decode.size(); }
  double device_total() const;
};

// Runs every input through the engine. The last batch is filled up with copies, whose results are dropped.
// Throws what the first failing thread threw; all threads have ended then.
Times RunPipeline(const std::vector<Input>& inputs, const ModelDescription& description,
                  const PipelineOptions& options, Engine* engine, Results* results);

// Milliseconds per run of the first batch, `loops` times.
std::vector<double> RunLoop(const std::vector<Input>& inputs, const ModelDescription& description, int loops,
                            Engine* engine);

// Runs the engine on an empty batch, so that the first timed one is like the others.
void WarmUp(int runs, Engine* engine);

}  // namespace seg
