// .om models on Ascend chips, by AscendCL. Every resource is a member whose destructor gives it back, in an order that
// the order of the members fixes: buffers, description, model, context, device, library.
#include <acl/acl.h>

#include <algorithm>
#include <memory>

#include "engine.h"
#include "error.h"

namespace seg {
namespace {

void Check(aclError code, const std::string& what) {
  if (code == ACL_SUCCESS) return;
  const char* detail = aclGetRecentErrMsg();
  throw std::runtime_error(what + " failed with AscendCL's error " + std::to_string(code) +
                           (detail != nullptr && *detail != 0 ? std::string(": ") + detail : ""));
}

struct Library {
  Library() { Check(aclInit(nullptr), "aclInit"); }
  ~Library() { aclFinalize(); }
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;
};

struct Device {
  explicit Device(int number) : id(number) {
    uint32_t count = 0;
    Check(aclrtGetDeviceCount(&count), "aclrtGetDeviceCount");
    if (id >= static_cast<int>(count)) {
      throw UserError("device_id: there is no device " + std::to_string(id) + "; this machine has " +
                      std::to_string(count) + ", counted from 0");
    }
    Check(aclrtSetDevice(id), "aclrtSetDevice");
  }
  ~Device() { aclrtResetDevice(id); }
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;
  int id;
};

struct Context {  // it belongs to the thread that makes it, which must be the one that calls Infer
  explicit Context(int device) { Check(aclrtCreateContext(&handle, device), "aclrtCreateContext"); }
  ~Context() { aclrtDestroyContext(handle); }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  aclrtContext handle = nullptr;
};

struct Model {
  explicit Model(const std::string& path) {
    const aclError code = aclmdlLoadFromFile(path.c_str(), &id);
    if (code != ACL_SUCCESS) {
      const char* detail = aclGetRecentErrMsg();
      throw UserError("model " + path + ": is damaged, or made for another chip (AscendCL's error " +
                      std::to_string(code) + (detail != nullptr ? std::string(": ") + detail : "") + ")");
    }
  }
  ~Model() { aclmdlUnload(id); }
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;
  uint32_t id = 0;
};

struct Description {
  explicit Description(uint32_t model) : handle(aclmdlCreateDesc()) {
    const aclError code = aclmdlGetDesc(handle, model);
    if (code != ACL_SUCCESS) aclmdlDestroyDesc(handle);
    Check(code, "aclmdlGetDesc");
  }
  ~Description() { aclmdlDestroyDesc(handle); }
  Description(const Description&) = delete;
  Description& operator=(const Description&) = delete;
  aclmdlDesc* handle;
};

// Device memory for all inputs, or all outputs, of a model.
class Buffers {
 public:
  Buffers() : dataset_(aclmdlCreateDataset()) {}
  ~Buffers() {
    for (aclDataBuffer* buffer : buffers_) {
      aclrtFree(aclGetDataBufferAddr(buffer));
      aclDestroyDataBuffer(buffer);
    }
    aclmdlDestroyDataset(dataset_);
  }
  Buffers(const Buffers&) = delete;
  Buffers& operator=(const Buffers&) = delete;

  void Add(size_t bytes) {
    void* memory = nullptr;
    Check(aclrtMalloc(&memory, bytes, ACL_MEM_MALLOC_HUGE_FIRST), "aclrtMalloc of " + std::to_string(bytes) + " bytes");
    buffers_.push_back(aclCreateDataBuffer(memory, bytes));
    sizes_.push_back(bytes);
    Check(aclmdlAddDatasetBuffer(dataset_, buffers_.back()), "aclmdlAddDatasetBuffer");
  }
  aclmdlDataset* handle() const { return dataset_; }
  void* memory(size_t i) const { return aclGetDataBufferAddr(buffers_[i]); }
  size_t size(size_t i) const { return sizes_[i]; }

 private:
  aclmdlDataset* dataset_;
  std::vector<aclDataBuffer*> buffers_;
  std::vector<size_t> sizes_;
};

class AscendEngine final : public Engine {
 public:
  explicit AscendEngine(const EngineOptions& options)
      : path_(options.model_path), device_(options.device_id), context_(options.device_id), model_(path_),
        description_(model_.id) {
    if (options.precision != "f32") {
      throw UserError("precision: an .om model has its own, chosen when it was made; leave --precision away");
    }
    aclrtRunMode mode = ACL_HOST;
    Check(aclrtGetRunMode(&mode), "aclrtGetRunMode");
    to_device_ = mode == ACL_HOST ? ACL_MEMCPY_HOST_TO_DEVICE : ACL_MEMCPY_DEVICE_TO_DEVICE;
    to_host_ = mode == ACL_HOST ? ACL_MEMCPY_DEVICE_TO_HOST : ACL_MEMCPY_DEVICE_TO_DEVICE;
    chosen_batch_ = ChooseBatch(options.batch_size);
    DescribeInputs();
    for (size_t i = 0; i < aclmdlGetNumOutputs(description_.handle); ++i) {
      // Of a model with several batches this is the size for the largest.
      output_buffers_.Add(aclmdlGetOutputSizeByIndex(description_.handle, i));
    }
    DescribeOutputs(options.batch_size);
  }

  std::string Describe() const override {
    const char* chip = aclrtGetSocName();
    return std::string("AscendCL on ") + (chip != nullptr ? chip : "Ascend") + ", device " + std::to_string(device_.id);
  }
  const TensorInfo& input() const override { return input_; }
  const std::vector<TensorInfo>& outputs() const override { return outputs_; }

  void Infer(const Bytes& input, std::vector<Bytes>* outputs) override {
    Check(aclrtMemcpy(input_buffers_.memory(image_), input_buffers_.size(image_), input.data(), input.size(),
                      to_device_),
          "copying the input to the device");
    if (chosen_batch_ != 0) {
      Check(aclmdlSetDynamicBatchSize(model_.id, input_buffers_.handle(), selector_,
                                      static_cast<uint64_t>(chosen_batch_)),
            "aclmdlSetDynamicBatchSize");
    }
    Check(aclmdlExecute(model_.id, input_buffers_.handle(), output_buffers_.handle()), "aclmdlExecute");
    outputs->resize(outputs_.size());
    for (size_t i = 0; i < outputs_.size(); ++i) {
      Bytes& bytes = (*outputs)[i];
      bytes.resize(outputs_[i].ByteSize());
      Check(aclrtMemcpy(bytes.data(), bytes.size(), output_buffers_.memory(i), bytes.size(), to_host_),
            "copying an output from the device");
    }
  }

 private:
  // The batch that is set before a run of a model with several; 0 for a model with one.
  int64_t ChooseBatch(int64_t wanted) {
    aclmdlBatch gears{};
    if (aclmdlGetDynamicBatch(description_.handle, &gears) != ACL_SUCCESS || gears.batchCount == 0) return 0;
    const std::vector<uint64_t> known(gears.batch, gears.batch + gears.batchCount);
    const auto chosen = static_cast<uint64_t>(wanted != 0 ? wanted : static_cast<int64_t>(known[0]));
    if (std::find(known.begin(), known.end(), chosen) == known.end()) {
      std::string all;
      for (const uint64_t gear : known) all += (all.empty() ? "" : ", ") + std::to_string(gear);
      throw UserError("batch_size: model " + path_ + " has batches of " + all + ", not " + std::to_string(chosen));
    }
    return static_cast<int64_t>(chosen);
  }

  void DescribeInputs() {
    if (chosen_batch_ != 0) {
      Check(aclmdlGetInputIndexByName(description_.handle, ACL_DYNAMIC_TENSOR_NAME, &selector_),
            "aclmdlGetInputIndexByName");
    }
    const size_t count = aclmdlGetNumInputs(description_.handle);
    if (count != (chosen_batch_ != 0 ? 2U : 1U)) {
      throw UserError("model " + path_ + ": has " + std::to_string(count) + " inputs instead of one image");
    }
    for (size_t i = 0; i < count; ++i) {
      input_buffers_.Add(aclmdlGetInputSizeByIndex(description_.handle, i));
      if (i == selector_) continue;
      image_ = i;
      aclmdlIODims dims{};
      Check(aclmdlGetInputDimsV2(description_.handle, i, &dims), "aclmdlGetInputDimsV2");  // V2: AIPP's, if there is
      const char* name = aclmdlGetInputNameByIndex(description_.handle, i);
      input_ = Info(name, aclmdlGetInputDataType(description_.handle, i), dims);
    }
    if (chosen_batch_ != 0) input_.shape[0] = chosen_batch_;
    if (chosen_batch_ == 0 && input_buffers_.size(image_) != input_.ByteSize()) {
      throw UserError("model " + path_ + ": its input " + ToText(input_) + " takes " +
                      std::to_string(input_buffers_.size(image_)) + " bytes, another layout than is known here");
    }
  }

  void DescribeOutputs(int64_t wanted) {
    if (wanted != 0 && wanted != input_.shape[0]) {
      throw UserError("batch_size: model " + path_ + " has a fixed batch of " + std::to_string(input_.shape[0]) +
                      ", not " + std::to_string(wanted));
    }
    for (size_t i = 0; i < aclmdlGetNumOutputs(description_.handle); ++i) {
      aclmdlIODims dims{};
      Check(aclmdlGetOutputDims(description_.handle, i, &dims), "aclmdlGetOutputDims");
      const char* name = aclmdlGetOutputNameByIndex(description_.handle, i);
      outputs_.push_back(Info(name, aclmdlGetOutputDataType(description_.handle, i), dims));
      outputs_.back().shape[0] = input_.shape[0];  // given for the largest batch
      if (outputs_.back().ByteSize() > output_buffers_.size(i)) {
        throw UserError("model " + path_ + ": output " + ToText(outputs_.back()) + " does not fit its memory");
      }
    }
  }

  TensorInfo Info(const char* name, aclDataType type, const aclmdlIODims& dims) const {
    TensorInfo info;
    info.name = name != nullptr ? name : "";
    switch (type) {
      case ACL_FLOAT: info.type = Type::kFloat32; break;
      case ACL_UINT8: info.type = Type::kUint8; break;
      case ACL_INT32: info.type = Type::kInt32; break;
      case ACL_INT64: info.type = Type::kInt64; break;
      default:
        throw UserError("model " + path_ + ": " + info.name + " has data type " + std::to_string(type) +
                        "; make it with --output_type=FP32, see scripts/convert_om.sh");
    }
    info.shape.assign(dims.dims, dims.dims + dims.dimCount);
    if (info.shape.empty()) throw UserError("model " + path_ + ": " + info.name + " has no dimensions");
    return info;
  }

  std::string path_;
  Library library_;
  Device device_;
  Context context_;
  Model model_;
  Description description_;
  Buffers input_buffers_, output_buffers_;
  aclrtMemcpyKind to_device_ = ACL_MEMCPY_HOST_TO_DEVICE, to_host_ = ACL_MEMCPY_DEVICE_TO_HOST;
  size_t image_ = 0;                           // index of the image among the inputs
  size_t selector_ = ACL_INVALID_NODE_INDEX;   // index of the extra input that tells the model its batch
  int64_t chosen_batch_ = 0;                   // 0: the model has one batch only
  TensorInfo input_;
  std::vector<TensorInfo> outputs_;
};

}  // namespace

std::unique_ptr<Engine> OpenAscendEngine(const EngineOptions& options) {
  return std::make_unique<AscendEngine>(options);
}

}  // namespace seg
