// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {PlainToken} from "./PlainToken.sol";

/// @title What most reward contracts do: a mapping of the ids that were paid
/// @notice One storage slot for each reward, and a mint for each.
contract MappingMinter {
    PlainToken public immutable token;
    address public immutable signer;
    mapping(bytes16 rewardId => bool) public isPaid;

    error NotSigner(address caller);
    error AlreadyPaid(bytes16 rewardId);

    event Paid(bytes16 indexed rewardId, address indexed account, uint256 amount);

    constructor(PlainToken token_, address signer_) {
        (token, signer) = (token_, signer_);
    }

    /// @notice Pays one reward.
    function pay(bytes16 rewardId, address account, uint256 amount) external {
        require(msg.sender == signer, NotSigner(msg.sender));
        _pay(rewardId, account, amount);
    }

    /// @notice Pays many.
    function payMany(bytes16[] calldata rewardIds, address[] calldata accounts, uint256[] calldata amounts)
        external
    {
        require(msg.sender == signer, NotSigner(msg.sender));
        for (uint256 i = 0; i < rewardIds.length; ++i) {
            _pay(rewardIds[i], accounts[i], amounts[i]);
        }
    }

    function _pay(bytes16 rewardId, address account, uint256 amount) private {
        require(!isPaid[rewardId], AlreadyPaid(rewardId));
        isPaid[rewardId] = true;
        emit Paid(rewardId, account, amount);
        token.mint(account, amount);
    }
}
