"""The public names of `lk.models`."""

from .backbones import load_backbone as load_backbone
from .challenge import quick_net as quick_net
from .challenge import quick_training as quick_training
from .ladder import DeeperCNN as DeeperCNN
from .ladder import LightCNN as LightCNN
from .ladder import OneFilterCNN as OneFilterCNN
from .ladder import SimpleCNN as SimpleCNN
from .ladder import SoftmaxRegression as SoftmaxRegression
from .ladder import TwoBlockCNN as TwoBlockCNN
from .ladder import WideCNN as WideCNN
from .mlp import BloodMLP as BloodMLP
from .mlp import count_parameters as count_parameters
from .recordings import recorded as recorded
from .residual import EightViews as EightViews
from .residual import SmallResNet as SmallResNet
from .transfer import fine_tuned as fine_tuned
from .transfer import freeze as freeze
from .transfer import new_head as new_head
from .transfer import parameter_groups as parameter_groups
from .transfer import save_fine_tuned as save_fine_tuned
from .vgg import vgg16 as vgg16
from .weights import checkpoint_file as checkpoint_file
from .weights import save_trained as save_trained
from .weights import trained as trained
