// .mindir models, by MindSpore Lite (its cloud inference package for Ascend, or the CPU one).
#include <cstring>
#include <memory>

#include "engine.h"
#include "error.h"
#include "include/api/context.h"
#include "include/api/model.h"
#include "include/api/status.h"
#include "include/api/types.h"

namespace seg {
namespace {

void Check(const mindspore::Status& status, const std::string& what) {
  if (status.IsError()) throw std::runtime_error(what + " failed: " + status.ToString());
}

TensorInfo InfoOf(const mindspore::MSTensor& tensor, const std::string& model) {
  TensorInfo info;
  info.name = tensor.Name();
  info.shape = tensor.Shape();
  switch (tensor.DataType()) {
    case mindspore::DataType::kNumberTypeFloat32: info.type = Type::kFloat32; break;
    case mindspore::DataType::kNumberTypeUInt8: info.type = Type::kUint8; break;
    case mindspore::DataType::kNumberTypeInt32: info.type = Type::kInt32; break;
    case mindspore::DataType::kNumberTypeInt64: info.type = Type::kInt64; break;
    default: throw UserError("model " + model + ": " + info.name + " has a data type that is not supported");
  }
  return info;
}

class LiteEngine final : public Engine {
 public:
  explicit LiteEngine(const EngineOptions& options) : path_(options.model_path) {
    if (options.precision != "f32") throw UserError("precision: MindSpore Lite runs .mindir files in f32 here");
    auto context = std::make_shared<mindspore::Context>();
    if (options.threads > 0) context->SetThreadNum(options.threads);
    auto ascend = std::make_shared<mindspore::AscendDeviceInfo>();
    ascend->SetDeviceID(static_cast<uint32_t>(options.device_id));
    context->MutableDeviceInfo().push_back(ascend);
    device_ = "device " + std::to_string(options.device_id);
    if (model_->Build(path_, mindspore::kMindIR, context).IsError()) {
      // No chip, or no such one: the processor, but never in place of a chip that was named.
      if (options.device_id != 0) {
        throw UserError("device_id: MindSpore Lite cannot run " + path_ + " on " + device_);
      }
      context->MutableDeviceInfo() = {std::make_shared<mindspore::CPUDeviceInfo>()};
      model_ = std::make_unique<mindspore::Model>();
      const mindspore::Status status = model_->Build(path_, mindspore::kMindIR, context);
      if (status.IsError()) {
        throw UserError("model " + path_ + ": is damaged, or of another version (" + status.ToString() + ")");
      }
      device_ = "the CPU";
    }
    SetBatch(options.batch_size);
  }

  std::string Describe() const override { return "MindSpore Lite on " + device_; }
  const TensorInfo& input() const override { return input_; }
  const std::vector<TensorInfo>& outputs() const override { return outputs_; }

  void Infer(const Bytes& input, std::vector<Bytes>* outputs) override {
    auto inputs = model_->GetInputs();
    std::memcpy(inputs[0].MutableData(), input.data(), input.size());
    std::vector<mindspore::MSTensor> results;
    Check(model_->Predict(inputs, &results), "Model::Predict");
    outputs->resize(results.size());
    for (size_t i = 0; i < results.size(); ++i) {
      const auto data = results[i].Data();
      const auto* first = static_cast<const uint8_t*>(data.get());
      if (results[i].DataSize() != outputs_[i].ByteSize()) {
        throw std::runtime_error("output " + ToText(outputs_[i]) + " came with another size");
      }
      (*outputs)[i].assign(first, first + results[i].DataSize());
    }
  }

 private:
  void SetBatch(int64_t wanted) {
    auto inputs = model_->GetInputs();
    if (inputs.size() != 1) {
      throw UserError("model " + path_ + ": has " + std::to_string(inputs.size()) + " inputs instead of one");
    }
    input_ = InfoOf(inputs[0], path_);
    const bool open = !input_.shape.empty() && input_.shape[0] < 0;
    if (open) {
      input_.shape[0] = wanted != 0 ? wanted : 1;
      Check(model_->Resize(inputs, {input_.shape}), "Model::Resize");
    } else if (wanted != 0 && wanted != input_.shape[0]) {
      throw UserError("batch_size: model " + path_ + " has a fixed batch of " + std::to_string(input_.shape[0]) +
                      ", not " + std::to_string(wanted));
    }
    for (const auto& tensor : model_->GetOutputs()) {
      outputs_.push_back(InfoOf(tensor, path_));
      if (open) outputs_.back().shape[0] = input_.shape[0];
    }
  }

  std::string path_, device_;
  std::unique_ptr<mindspore::Model> model_ = std::make_unique<mindspore::Model>();
  TensorInfo input_;
  std::vector<TensorInfo> outputs_;
};

}  // namespace

std::unique_ptr<Engine> OpenLiteEngine(const EngineOptions& options) { return std::make_unique<LiteEngine>(options); }

}  // namespace seg
