"""Words the names of the town are put together from, in both languages."""

from __future__ import annotations


def _pairs(text: str) -> tuple[tuple[str, str], ...]:
    """Read ``王 Wang, 李 Li`` as pairs of Chinese and Latin."""
    pairs = (entry.split(maxsplit=1) for entry in text.replace("\n", " ").split(","))
    return tuple((chinese, latin.strip()) for chinese, latin in pairs)


def _words(text: str) -> tuple[str, ...]:
    """Read words parted by white space."""
    return tuple(text.split())


SURNAMES = _pairs(
    """王 Wang, 李 Li, 张 Zhang, 刘 Liu, 陈 Chen, 杨 Yang, 黄 Huang, 赵 Zhao, 吴 Wu, 周 Zhou, 徐 Xu,
    孙 Sun, 马 Ma, 朱 Zhu, 胡 Hu, 郭 Guo, 何 He, 林 Lin, 高 Gao, 罗 Luo, 郑 Zheng, 梁 Liang, 谢 Xie,
    宋 Song, 唐 Tang, 许 Xu, 韩 Han, 冯 Feng, 邓 Deng, 曹 Cao, 彭 Peng, 曾 Zeng, 肖 Xiao, 田 Tian,
    董 Dong, 潘 Pan, 袁 Yuan, 蔡 Cai, 蒋 Jiang, 余 Yu, 欧阳 Ouyang, 司马 Sima"""
)

GIVEN = _pairs(
    """晓 Xiao, 文 Wen, 思 Si, 嘉 Jia, 雨 Yu, 子 Zi, 明 Ming, 志 Zhi, 新 Xin, 佳 Jia, 建 Jian,
    永 Yong, 海 Hai, 春 Chun, 少 Shao, 天 Tian, 安 An, 若 Ruo, 景 Jing, 书 Shu"""
)

GIVEN_FEMALE = _pairs(
    """芳 Fang, 娜 Na, 敏 Min, 静 Jing, 丽 Li, 燕 Yan, 玲 Ling, 霞 Xia, 洁 Jie, 琳 Lin, 颖 Ying,
    雪 Xue, 梅 Mei, 兰 Lan, 莉 Li, 婷 Ting, 慧 Hui, 月 Yue, 倩 Qian, 瑶 Yao"""
)

GIVEN_MALE = _pairs(
    """伟 Wei, 强 Qiang, 磊 Lei, 军 Jun, 勇 Yong, 杰 Jie, 涛 Tao, 超 Chao, 鹏 Peng, 辉 Hui, 刚 Gang,
    健 Jian, 峰 Feng, 波 Bo, 斌 Bin, 凯 Kai, 浩 Hao, 宇 Yu, 龙 Long, 川 Chuan"""
)

ENGLISH_GIVEN_FEMALE = _words(
    """Alice Beth Clara Daisy Edith Flora Grace Hazel Irene Julia Kate Laura Mabel Nora Olive
    Pearl Rose Sarah Thea Violet"""
)

ENGLISH_GIVEN_MALE = _words(
    """Alan Basil Carl Dennis Edgar Felix George Hugh Ivan James Keith Leonard Martin Neil
    Oscar Percy Ralph Simon Thomas Walter"""
)

ENGLISH_FAMILY = _words(
    """Ashdown Birchall Copperfield Dunmore Eastlake Fairweather Greenhalgh Hartwell Ingleby
    Juniper Kettering Larkspur Merriweather Northcote Oakhurst Pemberley Quill Ravenscroft
    Stillwater Thistlewood Underhill Valewood Whitlock Yarrow"""
)

FLOWERS = _pairs(
    """桂花 Osmanthus, 青竹 Green Bamboo, 红枫 Red Maple, 白鹭 White Egret, 金穗 Golden Ear,
    紫藤 Wisteria, 碧波 Blue Wave, 明月 Bright Moon, 朝阳 Morning Sun, 松涛 Pine Wind,
    荷塘 Lotus Pond, 喜鹊 Magpie, 银杏 Ginkgo, 梧桐 Phoenix Tree, 云雀 Skylark,
    杏林 Apricot Wood, 丰年 Good Harvest, 四季 Four Seasons,
    星河 River of Stars, 小满 Small Plenty"""
)

PLACES = _pairs(
    """北桥 North Bridge, 南门 South Gate, 东湖 East Lake, 西岸 West Bank, 河口 River Mouth,
    钟楼 Bell Tower, 柳巷 Willow Lane, 码头 Quayside, 山下 Hill Foot, 古井 Old Well, 花园 Garden,
    老街 Old Street, 新城 New Town, 渡口 Ferry, 石坊 Stone Arch, 茶场 Tea Ground"""
)

TRADES: tuple[tuple[str, str, str], ...] = (
    ("超市", "Grocery", "5411"),
    ("饭馆", "Restaurant", "5812"),
    ("面馆", "Noodle House", "5814"),
    ("药房", "Pharmacy", "5912"),
    ("百货", "Department Store", "5311"),
    ("书店", "Bookshop", "5942"),
    ("加油站", "Filling Station", "5541"),
    ("服饰", "Clothing", "5651"),
    ("电器", "Electronics", "5732"),
    ("影院", "Cinema", "7832"),
    ("五金", "Hardware", "5251"),
    ("出行", "Taxi", "4121"),
)
"""What a merchant does: Chinese, English, merchant category code (ISO 18245)."""
