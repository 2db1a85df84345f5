// A few batches go round: free -> decoded -> computed -> free. Each stage waits for the one before it.
#include "pipeline.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <exception>
#include <functional>
#include <memory>
#include <numeric>
#include <thread>
#include <tuple>

#include "error.h"
#include "labels.h"
#include "preprocess.h"
#include "queue.h"

namespace seg {
namespace {

using Clock = std::chrono::steady_clock;

double Since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

struct Batch {
  size_t first = 0, count = 0;  // its images are inputs[first .. first + count)
  Bytes input;
  std::vector<Bytes> outputs;
  std::vector<std::pair<int, int>> sizes;  // (width, height) of the images
};

class Pipeline {
 public:
  Pipeline(const std::vector<Input>& inputs, const ModelDescription& description, const PipelineOptions& options,
           Engine* engine, Results* results)
      : inputs_(inputs), description_(description), options_(options), engine_(engine), results_(results),
        batch_size_(engine->input().shape[0]) {
    times_.decode.resize(inputs.size());
    times_.prepare.resize(inputs.size());
    times_.device.resize(inputs.size());
    times_.write.resize(inputs.size());
  }

  Times Run() {
    const size_t count = (inputs_.size() + batch_size_ - 1) / batch_size_;
    const size_t workers = std::clamp<size_t>(options_.workers, 1, std::max<size_t>(count, 1));
    std::vector<Batch> batches(2 * workers + 1);
    for (Batch& batch : batches) {
      batch.input.resize(engine_->input().ByteSize());
      free_.Push(&batch);
    }
    const auto start = Clock::now();
    std::vector<std::thread> readers, writers;
    for (size_t i = 0; i < workers; ++i) {
      readers.emplace_back([this] { Guard([this] { Decode(); }); });
      writers.emplace_back([this] { Guard([this] { Write(); }); });
    }
    std::thread closer([&] {  // the device may stop waiting when no reader is left
      for (auto& reader : readers) reader.join();
      decoded_.Close();
    });
    Guard([this] { Compute(); });
    closer.join();
    computed_.Close();
    for (auto& writer : writers) writer.join();
    if (error_) std::rethrow_exception(error_);
    times_.total = Since(start);
    return std::move(times_);
  }

 private:
  // Runs a stage; the first error stops all of them.
  void Guard(const std::function<void()>& stage) {
    try {
      stage();
    } catch (...) {
      {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (!error_) error_ = std::current_exception();
      }
      free_.Close(true);
      decoded_.Close(true);
      computed_.Close(true);
    }
  }

  void Decode() {
    for (;;) {
      const std::optional<Batch*> batch = free_.Pop();
      const size_t first = next_.fetch_add(batch_size_);
      if (!batch || first >= inputs_.size()) return;
      (*batch)->first = first;
      (*batch)->count = std::min<size_t>(batch_size_, inputs_.size() - first);
      Fill(*batch);
      decoded_.Push(*batch);
    }
  }

  void Fill(Batch* batch) {
    batch->sizes.clear();
    for (size_t slot = 0; slot < batch->count; ++slot) {
      const auto start = Clock::now();
      const Image image = ReadPng(inputs_[batch->first + slot].path);
      times_.decode[batch->first + slot] = Since(start);
      const auto prepared = Clock::now();
      Prepare(description_, image, slot, &batch->input);
      times_.prepare[batch->first + slot] = Since(prepared);
      batch->sizes.emplace_back(image.width, image.height);
    }
    const size_t size = batch->input.size() / batch_size_;
    for (size_t slot = batch->count; slot < batch_size_; ++slot) {
      std::memcpy(batch->input.data() + slot * size, batch->input.data(), size);
    }
  }

  void Compute() {
    while (const std::optional<Batch*> batch = decoded_.Pop()) {
      const auto start = Clock::now();
      engine_->Infer((*batch)->input, &(*batch)->outputs);
      const double each = Since(start) / static_cast<double>((*batch)->count);
      std::fill_n(times_.device.begin() + (*batch)->first, (*batch)->count, each);
      computed_.Push(*batch);
    }
  }

  void Write() {
    while (const std::optional<Batch*> batch = computed_.Pop()) {
      for (size_t slot = 0; slot < (*batch)->count; ++slot) {
        const auto start = Clock::now();
        WriteOne(**batch, slot);
        times_.write[(*batch)->first + slot] = Since(start);
      }
      free_.Push(*batch);
    }
  }

  void WriteOne(const Batch& batch, size_t slot) {
    const std::string& stem = inputs_[batch.first + slot].stem;
    for (size_t i = 0; options_.bins && i < batch.outputs.size(); ++i) {
      const size_t size = batch.outputs[i].size() / batch_size_;
      results_->WriteBin(stem + "_" + std::to_string(i) + ".bin", batch.outputs[i].data() + slot * size, size);
    }
    if (!options_.labels && !options_.color) return;
    auto [width, height] = batch.sizes[slot];
    if (options_.label_width > 0) std::tie(width, height) = std::pair(options_.label_width, options_.label_height);
    const std::vector<uint8_t> labels = LabelsOf(batch, slot, &width, &height);
    if (options_.labels) results_->WriteLabel(stem + ".png", EncodePng(labels.data(), width, height, 1));
    if (options_.color) {
      const std::vector<uint8_t> rgb = Colorize(labels, description_.colors);
      results_->WriteLabel(stem + "_color.png", EncodePng(rgb.data(), width, height, 3));
    }
  }

  // Of the prediction. A label map that the model itself made keeps its size.
  std::vector<uint8_t> LabelsOf(const Batch& batch, size_t slot, int* width, int* height) const {
    const TensorInfo& info = engine_->outputs()[description_.prediction];  // of a kind that CheckModel has let pass
    const Bytes& output = batch.outputs[description_.prediction];
    const uint8_t* data = output.data() + slot * (output.size() / batch_size_);
    const auto& shape = info.shape;
    if (!description_.argmax) {
      return EnlargedArgmax(reinterpret_cast<const float*>(data), static_cast<int>(shape[1]),
                            static_cast<int>(shape[2]), static_cast<int>(shape[3]), *height, *width,
                            description_.aligned_corners);
    }
    *height = static_cast<int>(shape[1]);
    *width = static_cast<int>(shape[2]);
    std::vector<uint8_t> labels(static_cast<size_t>(*height) * *width);
    for (size_t i = 0; i < labels.size(); ++i) labels[i] = data[i * SizeOf(info.type)];  // little-endian, below 256
    return labels;
  }

  const std::vector<Input>& inputs_;
  const ModelDescription& description_;
  const PipelineOptions& options_;
  Engine* engine_;
  Results* results_;
  size_t batch_size_;
  std::atomic<size_t> next_{0};
  Queue<Batch*> free_, decoded_, computed_;
  Times times_;
  std::mutex mutex_;
  std::exception_ptr error_;
};

}  // namespace

double Times::device_total() const { return std::accumulate(device.begin(), device.end(), 0.0); }

Times RunPipeline(const std::vector<Input>& inputs, const ModelDescription& description,
                  const PipelineOptions& options, Engine* engine, Results* results) {
  return Pipeline(inputs, description, options, engine, results).Run();
}

std::vector<double> RunLoop(const std::vector<Input>& inputs, const ModelDescription& description, int loops,
                            Engine* engine) {
  Bytes input(engine->input().ByteSize());
  const size_t batch_size = engine->input().shape[0];
  for (size_t slot = 0; slot < batch_size; ++slot) {
    Prepare(description, ReadPng(inputs[slot % inputs.size()].path), slot, &input);
  }
  std::vector<double> times;
  std::vector<Bytes> outputs;
  for (int i = 0; i < loops; ++i) {
    const auto start = Clock::now();
    engine->Infer(input, &outputs);
    times.push_back(Since(start));
  }
  return times;
}

void WarmUp(int runs, Engine* engine) {
  const Bytes input(engine->input().ByteSize());
  std::vector<Bytes> outputs;
  for (int i = 0; i < runs; ++i) engine->Infer(input, &outputs);
}

}  // namespace seg
