"""The Chinese words of the privacy report: the same keys and blanks as `words_en`."""
from __future__ import annotations

from typing import Any

WORDS_ZH: dict[str, Any] = {
    "lang": "zh-CN",
    "title": "隐私报告",
    "subtitle": "联邦中每一方获知了什么、每个节点发出了什么，以及哪些事项没有任何保证",
    "made_from": "本报告由 {nodes} 的签名证据推导得出。任何人持有同一份证据，都会得到逐字节相同的报告。",
    "digest": "证据摘要值",
    "period": "本证据涵盖的任务",
    "period_text": "共 {runs} 次任务，记录时间自 {first} 至 {last}（UTC，以各节点自身时钟为准）",
    "holds": "证据成立：每个文件均与其节点签名时一致；每份日志直至最后一个签名检查点均完整且顺序正确；各节点之间互不"
             "矛盾。",
    "short": "概要",
    "short_none": "没有向 {party} 公开任何数值。",
    "short_openings": "在 {runs} 次任务中，共向 {party} 公开 {numbers} 个数值：",
    "short_sent": "该节点共发出 {messages} 条消息，合计 {bytes}。",
    "short_coordinator": "它不持有任何能够解密的密钥。未经公开即可得知的内容见下文。",
    "learned": "每一方在每次任务中获知的内容",
    "learned_intro": "“公开”是数值从加密或分享形式变为某一方可读形式的唯一途径。每次公开都须事先声明、计数，并在发出"
                     "前写入给出方的日志；其他任何种类一律拒绝。下列数目均取自日志。",
    "learned_nothing": "本次任务没有公开任何数值。",
    "run": "任务",
    "run_text": "{kind}，用途“{purpose}”；银行：{banks}；平台：{platforms}；列的编码：{encoding}；权重的发布方式："
                "{release}",
    "run_kinds": {
        "train": "训练",
        "score": "评分",
    },
    "party": "参与方",
    "learns": "获知的内容",
    "from": "来自",
    "numbers": "数值个数",
    "kind": "种类",
    "besides": "未经公开即可得知",
    "besides_text": {
        "bank": "每个平台带来的行数，以及其处理后的列数。",
        "platform": "每家银行带来的行数，以及各方处理后的列数。",
        "coordinator": "计划与用途；列的名称、类型与缺失率；每张表的行数（向上取整到 1,000）；密封消息的大小与时间；"
                       "每一方公开了多少数值，由此可知各集合及其交集的大小；模型卡上的指标；任务失败时的那句说明。不"
                       "包括任何行、标签、分数、系数或密钥。",
    },
    "leakage": "泄露表",
    "leakage_intro": "对每一种已公开的内容：它让获知方知道什么，又有什么仍然隐藏。",
    "tells": "透露的内容",
    "hides": "仍然隐藏的内容",
    "noise": "隐私损失 ε",
    "someone": "对方",
    "not_opened": "协议已声明、但本证据中没有公开过的种类：{kinds}。",
    "opening": {
        "membership": (
            "自己带来的人中，哪些也为 {source} 所有：每个标识符一个比特",
            "所有未带来的人",
        ),
        "membership.joint": (
            "与 {source} 共有的人中哪些属于共同集合，或其中有多少人是自己不认识的",
            "自己不认识的人是谁",
        ),
        "coefficients": (
            "训练所得模型中自己各列的系数，已叠加幅度为 2^-12 的掩盖值",
            "其他各方的系数，以及训练过程中的梯度",
        ),
        "commons.histogram": (
            "所有银行合计，每列每个格子中的人数，含每家银行各自加入的噪声",
            "任何一家银行单独的计数，以及任何一行",
        ),
        "commons.moments": (
            "所有银行合计，每对分箱中的人数，含每家银行各自加入的噪声",
            "任何一家银行单独的计数，以及任何一行",
        ),
        "scale": (
            "{source} 的行数及其自身分块的大小，取整为 2 的平方根的幂",
            "任何一行或标签",
        ),
        "step.norms": (
            "幂迭代的两个范数，由此得出步长",
            "任何一列；有多个平台时，也不知道单个平台的范数",
        ),
        "step.size": (
            "训练的步长，为 2 的平方根的幂",
            "范数本身",
        ),
        "scores.calibration": (
            "校准集中每个人的分数里来自 {source} 的部分，舍入到 2^-5；有多个平台时仅为其总和",
            "背后的各列，以及所有训练样本的分数",
        ),
        "scores.test": (
            "测试集中每个人的分数里来自 {source} 的部分，舍入到 2^-5；有多个平台时仅为其总和",
            "背后的各列，以及所有训练样本的分数",
        ),
        "scores.batch": (
            "被评分的每个人的分数里来自 {source} 的部分，舍入到 2^-5；有多个平台时仅为其总和",
            "背后的各列",
        ),
        "scores.training": (
            "训练样本的分数，在计划与策略允许的范围内并计入次数",
            "背后的各列；对同一批人每多公开一次，就会多透露一些",
        ),
        "scores.shared": (
            "每个人的完整分数，其模型的权重不为任何一方持有",
            "系数，以及每一方各自的部分",
        ),
        "woe.counts": (
            "自己各列每个分箱中的违约人数",
            "其中究竟是谁违约",
        ),
        "verdict": (
            "联合模型是否优于 {source} 自己的模型：一个比特",
            "分数与指标",
        ),
    },
    "opening_unknown": (
        "种类为“{kind}”的数值，本报告没有对应的说明；请见声明该种类的协议的 README",
        "见该处",
    ),
    "epsilon": "隐私损失的数值",
    "epsilon_intro": "ε 给出某一个人是否在数据中对获知方所见内容的影响上限；只有加入噪声时才是有限值。未加噪声时 ε 为"
                     " ∞：此时的保护依靠公开得少、舍入、最低人数和各项限额，而不是统计意义上的保证。",
    "epsilon_noised": "{value}（δ = 10^-6，ρ = {rho}）",
    "epsilon_run": "任务 {run}：所有银行合计的计数带有相当于 ρ = {rho} 的噪声，即 δ = 10^-6 时 ε = {value}，对该任务"
                   "的全部计数合计一次。其余公开的内容：ε = ∞。",
    "epsilon_woe": "任务 {run}：各分箱的违约计数带有相当于 ρ = {rho} 的噪声，即 δ = 10^-6 时 ε = {value}。",
    "epsilon_none": "任务 {run}：没有加入任何噪声，所有公开内容的 ε = ∞。",
    "epsilon_sum": "出现在上述全部任务中的人：加噪计数合计至多 ρ = {rho}，即 δ = 10^-6 时 ε = {value}；连同未加噪声的"
                   "内容，ε = ∞。",
    "adversary": "防范的对象",
    "adversary_text": {
        "honest": "假定各参与方与协调方均为半诚实：遵守协议，但会保留所见的一切。",
        "one": "其中任何一方可能被攻陷，协调方也可能与某一方合谋：二者合起来只会得到该方获知的内容，以及协调方看到的"
               "大小与时间。",
        "network": "网络是敌对的。消息在各方之间密封传递，每一方的身份由对方自行固定，因此协调方虽负责转发却无法阅读"
                   "。",
        "platforms": "有多个平台时，银行不得与任何一个平台合谋：二者合起来可以解开所有行的分数。",
        "banks": "有多家银行时，只公开各银行之和。其余所有银行合谋，可以得知某一家在总和中的部分；只有两家银行时，每"
                 "家都能减去自己的部分，此时的保护在于梯度从不公开、计数带有噪声。",
        "key": "一家银行若与其平台合谋，便知道该任务的一切：没有任何机制能防范双方同时合谋。",
    },
    "traffic": "每个节点发出的内容",
    "traffic_intro": "按消息种类统计的字节数，以节点在发送前的记录为准。所有消息均密封传输；协调方的中转站只看到大小"
                     "与时间。",
    "traffic_none": "该节点没有记录任何发出的消息。",
    "traffic_total": "共 {messages} 条消息，{bytes}",
    "bytes": "字节数",
    "messages": "消息数",
    "what": "消息种类",
    "wire": {
        "align.": "对齐：盲化的标识符与标签",
        "joint": "对齐：在共同集合中的位置",
        "covered": "对齐：在共同集合中的位置",
        "checkpoint": "审计日志的签名状态",
        "countersigned": "对方审计日志的签名状态，已会签",
        "held": "已知对方审计日志的多少",
        "setup": "规模与新的公钥",
        "keys": "新的公钥",
        "init": "随机分享",
        "seed": "随机种子",
        "seeds": "随机种子与设置的摘要值",
        "forward.": "加密乘积：分数的随机分享",
        "residual.": "加密乘积：残差的随机分享",
        "backward.": "加密乘积：梯度的随机分享",
        "gradient.": "被遮盖的梯度，总和的一部分",
        "norms.": "联合问题的规模",
        "step.": "步长",
        "coefficients": "一方自己的系数",
        "scores.": "分数的部分值，已舍入",
        "verdict": "是否更优，一个比特",
        "histogram": "被遮盖并加噪的计数",
        "moments": "被遮盖并加噪的计数",
        "scale": "取整后的规模",
    },
    "wire_unknown": "",
    "policies": "生效的规则（通俗表述）",
    "policies_intro": "每一方由自己的策略决定别人可以向它要求什么。计划若超出策略，在任何数据移动之前即被拒绝。",
    "policy_runs": "对 {runs} 生效",
    "policy_unused": "已出示，但本证据中没有任务引用它",
    "setting": {
        "purposes": "任务只能用于：{value}。",
        "kinds": "可以要求的任务种类：{value}。",
        "encodings": "列可以采用的编码：{value}。",
        "alignments": "纳入任务的人：{value}（common：每个平台都认识的人；covered：至少一个平台认识的人）。",
        "release": "训练所得权重的发布方式：{value}（owner：每一方得到自己各列的权重；shared：任何一方都得不到）。",
        "minimum_intersection_rows": "一次任务至少需要 {value} 名共同的人。",
        "minimum_bin_rows": "一列的每个分箱至少需要 {value} 人。",
        "maximum_steps": "一次训练至多 {value} 步。",
        "maximum_runs_per_day": "24 小时内至多同意 {value} 次任务。",
        "maximum_holdout_share": "一次任务中至多可以公开占比 {value}（以 1 计）的人的分数。",
        "maximum_commons_rho": "多家银行合计的加噪计数对每个人至多耗费 ρ = {value}，所有任务累计。",
        "minimum_columns": "公开的分数背后至少有 {value} 列。",
        "sensitivity_allowed": "可以参与的列的敏感级别：{value}。",
        "maximum_message_bytes": "超过 {value} 字节的消息一律拒绝。",
        "tile_cache_bytes": "处理后各列的工作内存：{value} 字节（与隐私无关）。",
        "version": "",
    },
    "setting_peer": "只与身份为 {fingerprint}… 的 {peer} 合作，对方至多可以带来 {rows} 人。",
    "setting_unknown": "{name}：{value}。",
    "vouch": "谁为日志作证",
    "vouch_intro": "节点可以改写自己的日志并重新签名，但无法改变他方持有并会签的检查点：直到那里，它的日志就是他方所"
                   "见的那一份。",
    "vouch_row": "{records} 条记录中的前 {covered} 条",
    "vouch_nobody": "无人：该日志仅凭节点自己的签名",
    "node": "节点",
    "identity": "身份",
    "records": "记录数",
    "vouched_by": "作证方",
    "security": "加密参数与安装的代码",
    "security_intro": "依据 HomomorphicEncryption.org 标准（2018 年 11 月）表 1、三值密钥，达到 128 位安全；针对经典"
                      "计算机，不含量子计算机。",
    "set": "参数集",
    "degree": "次数",
    "bits": "模数",
    "allowed": "128 位安全所允许",
    "bits_value": "{bits} 位",
    "code": "代码",
    "packages": "软件包",
    "packages_value": "{count} 个，版本确定，摘要值 {digest}…",
    "not": "没有保证的事项",
    "not_text": [
        "不能防范故意偏离协议的参与方。格式错误的消息会被拒绝，但用错误矩阵计算或虚构人员的一方不会被发现。",
        "没有外部审查：尚无独立密码学家检查过协议或代码。",
        "不保证完整：日志只显示节点记录下来的内容。软件被改动的节点可以当场漏记。在他方持有的最后一个检查点之后的记录"
        "，仅凭节点自己的签名。",
        "不涉及数据是否真实，也不涉及各方此后如何使用其模型或分数。",
        "已发布的系数和已公开的分数属于输出，会透露背后人群的某些信息；各项限额使其保持很小，但没有噪声将其隐藏（ε = "
        "∞）。",
        "时间以各节点自身时钟为准。极短消息（步长、是否更优）的哈希可以从证据中猜回，因此证据的读者会得知这些值。",
    ],
    "notes": "核验附注（原文为英文）",
    "again": "重新推导本报告",
    "again_text": "需要：证据、由您自行确认过身份的 trust.json，以及单个文件的核验程序（Python 3.11 与 cryptography "
                  "软件包，别无其他）：",
    "list": "、",
    "none": "无",
}
