// Segments a folder of images with an exported model: see Usage() in options.cc.
#include <algorithm>
#include <cstdio>
#include <exception>
#include <iostream>

#include "description.h"
#include "engine.h"
#include "error.h"
#include "files.h"
#include "options.h"
#include "pipeline.h"

namespace seg {
namespace {

double Percentile(std::vector<double> values, double share) {
  const size_t index = std::min(values.size() - 1, static_cast<size_t>(share * static_cast<double>(values.size())));
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(index), values.end());
  return values[index];
}

void PrintStage(const char* name, const std::vector<double>& values) {
  std::printf("%-8s p50 %9.2f ms   p90 %9.2f ms   per image\n", name, Percentile(values, 0.5),
              Percentile(values, 0.9));
}

// The line that ModelZoo's scripts look for.
std::string TimeLine(double milliseconds, size_t count) {
  char text[160];
  std::snprintf(text, sizeof(text), "NN inference cost average time: %.3f ms of infer_count %zu\n",
                milliseconds / static_cast<double>(count), count);
  return text;
}

void Loop(const Options& options, const std::vector<Input>& inputs, const ModelDescription& description,
          Engine* engine, Results* results) {
  const std::vector<double> times = RunLoop(inputs, description, options.loop, engine);
  double total = 0;
  for (const double time : times) total += time;
  const auto images = static_cast<double>(times.size()) * static_cast<double>(engine->input().shape[0]);
  std::printf("device   p50 %9.2f ms   p90 %9.2f ms   per batch of %lld\n", Percentile(times, 0.5),
              Percentile(times, 0.9), static_cast<long long>(engine->input().shape[0]));
  std::printf("%.3f images per second on the device\n", 1000 * images / total);
  results->WriteTimes(TimeLine(total, times.size()));
}

void Folder(const Options& options, const std::vector<Input>& inputs, const ModelDescription& description,
            Engine* engine, Results* results) {
  const Times times = RunPipeline(inputs, description, options.pipeline, engine, results);
  PrintStage("decode", times.decode);
  PrintStage("prepare", times.prepare);
  PrintStage("device", times.device);
  PrintStage("write", times.write);
  const auto images = static_cast<double>(times.images());
  std::printf("%.3f images per second on the device, %.3f from file to file\n", 1000 * images / times.device_total(),
              1000 * images / times.total);
  results->WriteTimes(TimeLine(times.device_total(), times.images()));
}

void Run(const Options& options) {
  CheckPath(options.engine.model_path);
  const ModelDescription description = ReadDescription(options.engine.model_path);
  const bool colored = options.pipeline.labels && options.pipeline.color;
  const std::vector<Input> inputs = ListImages(options.dataset_path, colored);
  const std::unique_ptr<Engine> engine = OpenEngine(options.engine);
  CheckModel(description, *engine);
  Results results(options.result_path, options.pipeline.labels || options.pipeline.color);
  std::cout << engine->Describe() << "; " << options.engine.model_path << ": " << ToText(engine->input());
  for (const TensorInfo& output : engine->outputs()) std::cout << " -> " << ToText(output);
  std::cout << "\n" << inputs.size() << " images in " << options.dataset_path << std::endl;
  WarmUp(options.warmup, engine.get());
  (options.loop > 0 ? Loop : Folder)(options, inputs, description, engine.get(), &results);
  results.Keep();
  std::cout << "written to " << results.Describe() << std::endl;
}

}  // namespace
}  // namespace seg

int main(int argc, char** argv) {
  try {
    const seg::Options options = seg::ParseOptions(argc, argv);
    if (options.help) {
      std::cout << seg::Usage();
      return 0;
    }
    seg::Run(options);
    return 0;
  } catch (const seg::UserError& error) {
    std::cerr << "error: " << error.what() << std::endl;
    return 2;
  } catch (const std::exception& error) {
    std::cerr << "error: " << error.what() << std::endl;
    return 1;
  }
}
