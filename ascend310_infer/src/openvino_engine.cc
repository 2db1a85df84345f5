// ONNX models on any processor, by OpenVINO.
#include <openvino/frontend/manager.hpp>
#include <openvino/openvino.hpp>

#include "engine.h"
#include "error.h"

namespace seg {
namespace {

std::string FirstLine(const std::string& text) {
  // OpenVINO's messages begin with lines that say where in its sources they were thrown.
  std::string line, last;
  for (size_t start = 0; start < text.size();) {
    const size_t end = std::min(text.find('\n', start), text.size());
    line = text.substr(start, end - start);
    if (!line.empty()) last = line;
    start = end + 1;
  }
  return last;
}

Type TypeOf(const ov::element::Type& type, const std::string& model) {
  if (type == ov::element::f32) return Type::kFloat32;
  if (type == ov::element::u8) return Type::kUint8;
  if (type == ov::element::i32) return Type::kInt32;
  if (type == ov::element::i64) return Type::kInt64;
  throw UserError("model " + model + ": holds " + type.get_type_name() + " tensors, which are not supported");
}

TensorInfo InfoOf(const ov::Output<const ov::Node>& port, const std::string& model) {
  TensorInfo info;
  info.name = port.get_names().empty() ? "" : port.get_any_name();
  info.type = TypeOf(port.get_element_type(), model);
  const ov::PartialShape shape = port.get_partial_shape();
  if (shape.is_dynamic()) {
    throw UserError("model " + model + ": the size of " + info.name + " is open; export it with a fixed --size");
  }
  for (const auto& axis : shape) info.shape.push_back(axis.get_length());
  return info;
}

class OpenvinoEngine final : public Engine {
 public:
  explicit OpenvinoEngine(const EngineOptions& options) {
    if (options.device_id != 0) {
      throw UserError("device_id: the processor is device 0, there is no " + std::to_string(options.device_id));
    }
    const std::string& path = options.model_path;
    std::shared_ptr<ov::Model> model = Read(path);
    if (model->inputs().size() != 1) {
      throw UserError("model " + path + ": has " + std::to_string(model->inputs().size()) + " inputs instead of one");
    }
    SetBatch(model.get(), options);
    const auto precision = options.precision == "bf16" ? ov::element::bf16 : ov::element::f32;
    ov::AnyMap properties{ov::hint::inference_precision(precision), ov::num_streams(1),
                          ov::hint::performance_mode(ov::hint::PerformanceMode::LATENCY)};
    if (options.threads > 0) properties.insert(ov::inference_num_threads(options.threads));
    compiled_ = core_.compile_model(model, "CPU", properties);
    precision_ = compiled_.get_property(ov::hint::inference_precision).get_type_name();
    if (precision_ != options.precision) {
      throw UserError("precision: this processor cannot compute in " + options.precision + "; use --precision f32");
    }
    input_ = InfoOf(compiled_.input(), path);
    for (const auto& port : compiled_.outputs()) outputs_.push_back(InfoOf(port, path));
    request_ = compiled_.create_infer_request();
  }

  std::string Describe() const override { return "OpenVINO on the CPU, " + precision_; }
  const TensorInfo& input() const override { return input_; }
  const std::vector<TensorInfo>& outputs() const override { return outputs_; }

  void Infer(const Bytes& input, std::vector<Bytes>* outputs) override {
    const auto port = compiled_.input();
    // The tensor reads the caller's buffer; OpenVINO does not write to inputs.
    request_.set_input_tensor(
        ov::Tensor(port.get_element_type(), port.get_shape(), const_cast<uint8_t*>(input.data())));
    request_.infer();
    outputs->resize(outputs_.size());
    for (size_t i = 0; i < outputs_.size(); ++i) {
      const ov::Tensor tensor = request_.get_output_tensor(i);
      const auto* first = static_cast<const uint8_t*>(tensor.data());
      (*outputs)[i].assign(first, first + tensor.get_byte_size());
    }
  }

 private:
  std::shared_ptr<ov::Model> Read(const std::string& path) {
    try {
      if (path.size() > 4 && path.substr(path.size() - 4) == ".xml") return core_.read_model(path);
      // Core::read_model would try all its formats on a damaged file, and each would complain.
      const auto frontend = ov::frontend::FrontEndManager().load_by_framework("onnx");
      return frontend->convert(frontend->load(path));
    } catch (const std::exception& error) {
      throw UserError("model " + path + ": is damaged or not a model (" + FirstLine(error.what()) + ")");
    }
  }

  static void SetBatch(ov::Model* model, const EngineOptions& options) {
    ov::PartialShape shape = model->input().get_partial_shape();
    if (shape.rank().is_dynamic() || shape.size() != 4) {
      throw UserError("model " + options.model_path + ": its input is not a batch of images");
    }
    const int64_t wanted = options.batch_size;
    if (shape[0].is_static()) {
      if (wanted != 0 && wanted != shape[0].get_length()) {
        throw UserError("batch_size: model " + options.model_path + " has a fixed batch of " +
                        std::to_string(shape[0].get_length()) + ", not " + std::to_string(wanted));
      }
      return;
    }
    shape[0] = wanted != 0 ? wanted : 1;
    model->reshape(shape);
  }

  ov::Core core_;
  ov::CompiledModel compiled_;
  ov::InferRequest request_;
  std::string precision_;
  TensorInfo input_;
  std::vector<TensorInfo> outputs_;
};

}  // namespace

std::unique_ptr<Engine> OpenOpenvinoEngine(const EngineOptions& options) {
  return std::make_unique<OpenvinoEngine>(options);
}

}  // namespace seg
